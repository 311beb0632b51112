package sparkloop

import (
	"context"
	"fmt"
	"iter"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/api"
)

// Offer is what a merchant pays publishers for. A field that the API left out,
// or sent as something else than documented, has its zero value.
//
// https://docs.sparkloop.app/api-v2/objects-schema/offer-object
type Offer struct {
	UUID            string         `json:"uuid"` // the offer's id in redirect URLs and calls
	Name            string         `json:"name"` // internal
	Headline        string         `json:"headline"`
	Description     string         `json:"description"`
	Callout         string         `json:"callout"`
	RedirectURL     string         `json:"redirect_url"` // where a click goes; may lack a scheme
	ConversionType  ConversionType `json:"conversion_type"`
	Visibility      string         `json:"visibility"`       // "public" or "internal"
	Status          string         `json:"status"`           // such as "active"; the full list is not published
	ConversionEvent string         `json:"conversion_event"` // what converts, such as "purchase"
	Terms           string         `json:"terms"`
	CPA             USD            `json:"cpa"` // paid per confirmed conversion
	MonthlyBudget   USD            `json:"monthly_budget"`
	CreatedAt       time.Time      `json:"created_at"`

	LandscapeImageURL string          `json:"landscape_image_url"`
	PortraitImageURL  string          `json:"portrait_image_url"`
	GeoRestrictions   GeoRestrictions `json:"geo_restrictions"`
}

// GeoRestrictions say where an offer is shown. Countries are ISO 3166-1
// alpha-2 codes.
type GeoRestrictions struct {
	AllowWorldwideReferrals bool     `json:"allow_worldwide_referrals"`
	AllowedCountries        []string `json:"allowed_countries"`
	BlockedCountries        []string `json:"blocked_countries"`
}

// ConversionType is what an offer pays for. It is in lower case, however the
// API wrote it; a type unknown to this package is kept.
type ConversionType string

// The documented types. Only conversions of Action offers are confirmed.
const (
	ConversionClick  ConversionType = "click"
	ConversionLead   ConversionType = "lead"
	ConversionAction ConversionType = "action"
)

// UnmarshalText reads a type in any case. It never fails.
func (c *ConversionType) UnmarshalText(text []byte) error {
	*c = ConversionType(strings.ToLower(string(text)))
	return nil
}

// USD is an amount in millionths of a US dollar, exact: 2.35 dollars are
// 2_350_000.
type USD int64

const dollar = 1_000_000

// String is the amount with a dollar sign and at least two decimals: "$2.35".
func (u USD) String() string {
	digits := u.decimal()
	if digits[0] == '-' {
		return "-$" + digits[1:]
	}
	return "$" + digits
}

// MarshalJSON writes dollars as a JSON number, as the API does.
func (u USD) MarshalJSON() ([]byte, error) { return []byte(u.decimal()), nil }

// UnmarshalJSON reads a JSON number of dollars, rounded to a millionth with
// halves away from zero. Anything else, and an amount beyond an int64, is 0.
// It never fails.
func (u *USD) UnmarshalJSON(data []byte) error {
	*u = parseUSD(string(data))
	return nil
}

// decimal is the amount in dollars with two to six decimals.
func (u USD) decimal() string {
	sign, magnitude := "", uint64(u)
	if u < 0 {
		sign, magnitude = "-", -magnitude
	}
	cents := strings.TrimRight(fmt.Sprintf("%06d", magnitude%dollar), "0")
	return sign + strconv.FormatUint(magnitude/dollar, 10) + "." + cents + strings.Repeat("0", max(0, 2-len(cents)))
}

func parseUSD(s string) USD {
	if whole, ok := parseSmallUSD(s); ok {
		return whole
	}
	// Exponents, long fractions, huge amounts: rare, so exact by other means.
	const longest, highest = 1000, 64
	if len(s) > longest {
		return 0
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n < -highest || n > highest {
			return 0
		}
	}
	amount, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0
	}
	amount.Mul(amount, big.NewRat(dollar, 1))
	micros, err := strconv.ParseInt(amount.FloatString(0), 10, 64) // rounds halves away from zero
	if err != nil {
		return 0
	}
	return USD(micros)
}

// parseSmallUSD reads what amounts look like: at most 12 digits before the
// point and 6 after it.
func parseSmallUSD(s string) (USD, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(whole) == 0 || len(whole) > 12 || len(fraction) > 6 {
		return 0, false
	}
	var micros int64
	for _, part := range [...]string{whole, fraction, "000000"[len(fraction):]} {
		for i := range len(part) {
			if part[i] < '0' || part[i] > '9' {
				return 0, false
			}
			micros = micros*10 + int64(part[i]-'0')
		}
	}
	if negative {
		micros = -micros
	}
	return USD(micros), true
}

// OffersService reads offers. Every call is safe to repeat.
type OffersService struct{ api *api.API }

// ListOffersParams choose a page of offers.
type ListOffersParams struct {
	Page    int // from 1; 0 is the first
	PerPage int // at most 200 are given; 0 is the API's default, 50
}

// OfferPage is one page of offers and where it stands. The API says all four
// numbers; one that it left out is 0.
type OfferPage struct {
	Offers                                 []Offer
	Page, PerPage, TotalPages, TotalOffers int
}

// List returns one page of the account's offers, the newest first. A negative
// number is refused before a request; any other failure is an [*Error].
//
// https://docs.sparkloop.app/api-v2/endpoints/offers
func (s *OffersService) List(ctx context.Context, p ListOffersParams) (*OfferPage, error) {
	if p.Page < 0 || p.PerPage < 0 {
		return nil, fmt.Errorf("sparkloop: list offers: page %d with %d offers: neither can be negative", p.Page, p.PerPage)
	}
	body := offersReplies.Get().(*offersReply)
	defer body.release()
	failed := s.api.Do(ctx, api.Call{Query: p.query(), Into: body})
	if failed != nil {
		return nil, newError("list offers", failed)
	}
	page := &OfferPage{
		Offers:      make([]Offer, len(body.Offers)),
		Page:        body.Meta.Page,
		PerPage:     body.Meta.PerPage,
		TotalPages:  body.Meta.TotalPages,
		TotalOffers: body.Meta.TotalOffers,
	}
	for i := range body.Offers {
		page.Offers[i] = body.Offers[i].offer()
	}
	return page, nil
}

// query is the URL's query, without what is left to the API.
func (p ListOffersParams) query() string {
	q := url.Values{}
	if p.Page > 0 {
		q.Set("page", strconv.Itoa(p.Page))
	}
	if p.PerPage > 0 {
		q.Set("per_page", strconv.Itoa(p.PerPage))
	}
	return q.Encode()
}

// All goes through the account's offers, the newest first, 200 to a request.
// An error comes once and last. An offer that moves to the next page while the
// pages are read comes once; one that is created meanwhile may be missing.
//
// Each page has [WithTimeout] for itself if ctx has no deadline.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers
func (s *OffersService) All(ctx context.Context) iter.Seq2[Offer, error] {
	const most = 200
	return func(yield func(Offer, error) bool) {
		seen := make(map[string]bool)
		for n := 1; ; n++ {
			page, err := s.List(ctx, ListOffersParams{Page: n, PerPage: most})
			if err != nil {
				yield(Offer{}, err)
				return
			}
			// Only a page without news is the end: a short one may be what a
			// server makes of per_page. What has no uuid is no news, for it
			// cannot be told from what came before.
			news := slices.ContainsFunc(page.Offers, func(o Offer) bool { return o.UUID != "" && !seen[o.UUID] })
			if !news && n > 1 {
				return
			}
			for _, offer := range page.Offers {
				if offer.UUID != "" && seen[offer.UUID] {
					continue
				}
				seen[offer.UUID] = true
				if !yield(offer, nil) {
					return
				}
			}
		}
	}
}

// Get returns one offer. An unknown id is [ErrOfferNotFound], a malformed one
// [ErrInvalidTracking] without a request; other failures are an [*Error].
//
// https://docs.sparkloop.app/api-v2/endpoints/offers
func (s *OffersService) Get(ctx context.Context, offer string) (*Offer, error) {
	if err := validateID("offer", offer); err != nil {
		return nil, fmt.Errorf("sparkloop: get offer: %w", err)
	}
	var body offerReply
	if failed := s.api.Do(ctx, api.Call{Offer: offer, Into: &body}); failed != nil {
		return nil, newError("get offer "+offer, failed)
	}
	o := body.Offer.offer()
	return &o, nil
}

// offersReply is the body of a list. It is pooled: only the offers' copies and
// their texts are new with each call.
type offersReply struct {
	api.Envelope

	Offers []offerJSON `json:"offers"`
	Meta   struct {
		Page        int `json:"page"`
		PerPage     int `json:"per_page"`
		TotalPages  int `json:"total_pages"`
		TotalOffers int `json:"total_offers"`
	} `json:"meta"`
}

var offersReplies = sync.Pool{New: func() any { return &offersReply{Offers: make([]offerJSON, 0, 1)} }}

// Missing tells an empty list from none: JSON's decoder leaves the slice as it
// was where there is no array, and makes one without capacity for an empty array.
func (r *offersReply) Missing() string {
	if r.Offers == nil || len(r.Offers) == 0 && cap(r.Offers) > 0 {
		return "offers array"
	}
	return ""
}

func (r *offersReply) release() {
	const keep = 512 // more than a page
	offers := r.Offers[:cap(r.Offers)]
	clear(offers)
	if len(offers) == 0 || len(offers) > keep {
		offers = make([]offerJSON, 0, 1)
	}
	*r = offersReply{Offers: offers[:0]}
	offersReplies.Put(r)
}

// offerReply is the body of one offer.
type offerReply struct {
	api.Envelope

	Offer offerJSON `json:"offer"`
}

func (r *offerReply) Missing() string {
	if r.Offer.UUID == "" {
		return "offer with a uuid"
	}
	return ""
}

// offerJSON is an offer whose time may be anything. It does not embed an Offer:
// encoding/json takes a tenth longer for the fields of an embedded struct.
type offerJSON struct {
	UUID              string          `json:"uuid"`
	Name              string          `json:"name"`
	Headline          string          `json:"headline"`
	Description       string          `json:"description"`
	Callout           string          `json:"callout"`
	RedirectURL       string          `json:"redirect_url"`
	ConversionType    ConversionType  `json:"conversion_type"`
	Visibility        string          `json:"visibility"`
	Status            string          `json:"status"`
	ConversionEvent   string          `json:"conversion_event"`
	Terms             string          `json:"terms"`
	CPA               USD             `json:"cpa"`
	MonthlyBudget     USD             `json:"monthly_budget"`
	CreatedAt         lenientTime     `json:"created_at"`
	LandscapeImageURL string          `json:"landscape_image_url"`
	PortraitImageURL  string          `json:"portrait_image_url"`
	GeoRestrictions   GeoRestrictions `json:"geo_restrictions"`
}

func (o *offerJSON) offer() Offer {
	return Offer{
		o.UUID, o.Name, o.Headline, o.Description, o.Callout, o.RedirectURL,
		o.ConversionType, o.Visibility, o.Status, o.ConversionEvent, o.Terms, o.CPA, o.MonthlyBudget,
		time.Time(o.CreatedAt), o.LandscapeImageURL, o.PortraitImageURL, o.GeoRestrictions,
	}
}

// lenientTime is the zero time where no RFC 3339 time stands.
type lenientTime time.Time

func (t *lenientTime) UnmarshalText(text []byte) error {
	if (*time.Time)(t).UnmarshalText(text) != nil {
		*t = lenientTime{}
	}
	return nil
}
