package sparkloop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sparkloop-go/sparkloop/internal/reply"
)

// Offer is what a merchant pays publishers for. A field that the API left out or
// sent with another type has its zero value.
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

// GeoRestrictions are the countries in which an offer is shown, as ISO 3166-1
// alpha-2 codes.
type GeoRestrictions struct {
	AllowWorldwideReferrals bool     `json:"allow_worldwide_referrals"`
	AllowedCountries        []string `json:"allowed_countries"`
	BlockedCountries        []string `json:"blocked_countries"`
}

// ConversionType is what an offer pays for, in lower case. An unknown type is
// kept.
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

// UnmarshalJSON reads a JSON number of dollars, or a string that holds one,
// rounded to a millionth with halves away from zero. It returns an error for
// anything else and for an amount beyond an int64. null changes nothing.
func (u *USD) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	amount, ok := readUSD(data)
	if !ok {
		return errors.New("sparkloop: read amount: not a number of dollars within 64 bits")
	}
	*u = amount
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

// number returns the text of a JSON number, also of one in a string, or "".
func number(data []byte) string {
	if len(data) > 1 && data[0] == '"' {
		data = bytes.TrimSpace(data[1 : len(data)-1])
	}
	if len(data) == 0 || data[0] != '-' && (data[0] < '0' || data[0] > '9') || !json.Valid(data) {
		return ""
	}
	return string(data)
}

// readUSD reads a JSON number of dollars, also one in a string.
func readUSD(data []byte) (amount USD, ok bool) {
	if amount, ok := parseSmallUSD(string(data)); ok {
		return amount, true // fast path: the usual number, without an allocation
	}
	s := number(data)
	if amount, ok := parseSmallUSD(s); ok {
		return amount, true
	}
	// Exponents, long fractions, huge amounts: rare, so exact by other means.
	const longest, highest = 1000, 64
	if len(s) > longest {
		return 0, false
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n < -highest || n > highest {
			return 0, false
		}
	}
	exact, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, false
	}
	exact.Mul(exact, big.NewRat(dollar, 1))
	micros, err := strconv.ParseInt(exact.FloatString(0), 10, 64) // rounds halves away from zero
	if err != nil {
		return 0, false
	}
	return USD(micros), true
}

// parseSmallUSD reads a JSON number with at most 12 digits before the point and 6
// after it.
func parseSmallUSD(s string) (USD, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if len(whole) == 0 || len(whole) > 12 || len(fraction) > 6 {
		return 0, false
	}
	if len(whole) > 1 && whole[0] == '0' || point && fraction == "" {
		return 0, false // as in JSON
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
type OffersService struct{ caller *caller }

func (s *OffersService) do(ctx context.Context, call call) *Error {
	if s == nil {
		return (*caller)(nil).do(ctx, call)
	}
	return s.caller.do(ctx, call)
}

// ListOffersParams choose a page of offers.
type ListOffersParams struct {
	Page    int // from 1; 0 is the first
	PerPage int // at most 200 are given; 0 is the API's default, 50
}

// OfferPage is one page of offers and its place in the list. A number that the
// API left out is 0.
type OfferPage struct {
	Offers                                 []Offer
	Page, PerPage, TotalPages, TotalOffers int
}

// List returns one page of the account's offers, the newest first. A failure is
// an [*Error]. With a negative number nothing is sent.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers
func (s *OffersService) List(ctx context.Context, p ListOffersParams) (*OfferPage, error) {
	if p.Page < 0 || p.PerPage < 0 {
		return nil, misuse("list offers", fmt.Sprintf("page %d with %d offers: neither can be negative", p.Page, p.PerPage))
	}
	body := offersReplies.Get().(*offersReply)
	defer body.release()
	if failed := s.do(ctx, call{query: p.query(), body: body}); failed != nil {
		return nil, failed
	}
	page := &OfferPage{
		Offers:      make([]Offer, len(body.Offers)),
		Page:        int(body.Meta.Page),
		PerPage:     int(body.Meta.PerPage),
		TotalPages:  int(body.Meta.TotalPages),
		TotalOffers: int(body.Meta.TotalOffers),
	}
	for i := range body.Offers {
		page.Offers[i] = body.Offers[i].offer()
	}
	return page, nil
}

// query is the query of the URL. The API's defaults are left out.
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

// All yields the account's offers, the newest first, with 200 offers a request.
// It ends after the last page. An error is yielded once, and last. An offer that
// moves to the next page meanwhile is yielded once; an offer that is created
// meanwhile may be missing.
//
// [WithTimeout] bounds each page if ctx has no deadline.
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
			// Without a page count the end is a page without a new offer: a
			// short page may be the server's limit. An offer without a UUID is
			// never new.
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
			if page.TotalPages > 0 && n >= page.TotalPages {
				return
			}
		}
	}
}

// Get returns one offer. It returns [ErrOfferNotFound] for an unknown ID and, without
// a request, [ErrInvalidTracking] for a malformed one. Every other failure is an
// [*Error].
//
// https://docs.sparkloop.app/api-v2/endpoints/offers
func (s *OffersService) Get(ctx context.Context, offer string) (*Offer, error) {
	if err := validateID("offer", offer); err != nil {
		return nil, fmt.Errorf("sparkloop: get offer: %w", err)
	}
	var body offerReply
	if failed := s.do(ctx, call{offer: offer, body: &body}); failed != nil {
		return nil, failed
	}
	o := body.Offer.offer()
	return &o, nil
}

// offersReply is the body of a list. It is pooled: a call allocates only the
// offers' copies and their texts.
type offersReply struct {
	reply.Envelope

	Offers []offerJSON `json:"offers"`
	Meta   struct {
		Page        count `json:"page"`
		PerPage     count `json:"per_page"`
		TotalPages  count `json:"total_pages"`
		TotalOffers count `json:"total_offers"`
	} `json:"meta"`
}

var offersReplies = sync.Pool{New: func() any { return &offersReply{Offers: make([]offerJSON, 0, 1)} }}

// Missing distinguishes an empty list from none: without an array the JSON decoder
// does not change the slice, and for an empty array it makes one without capacity.
func (r *offersReply) Missing() string {
	if r.Offers == nil || len(r.Offers) == 0 && cap(r.Offers) > 0 {
		return "offers array"
	}
	return ""
}

func (r *offersReply) Reset() {
	const keep = 512 // more than a page
	offers := r.Offers[:cap(r.Offers)]
	clear(offers)
	if len(offers) == 0 || len(offers) > keep {
		offers = make([]offerJSON, 0, 1)
	}
	*r = offersReply{Offers: offers[:0]}
}

func (r *offersReply) release() {
	r.Reset()
	offersReplies.Put(r)
}

// offerReply is the body of one offer.
type offerReply struct {
	reply.Envelope

	Offer offerJSON `json:"offer"`
}

func (r *offerReply) Missing() string {
	if r.Offer.UUID == "" {
		return "offer with a uuid"
	}
	return ""
}

func (r *offerReply) Reset() { *r = offerReply{} }

// offerJSON is an offer as the API sends it. Its own fields override those of the
// Offer. They never fail: an unreadable value is zero.
type offerJSON struct {
	Offer

	CPA           amount  `json:"cpa"`
	MonthlyBudget amount  `json:"monthly_budget"`
	CreatedAt     anyTime `json:"created_at"`
}

func (o *offerJSON) offer() Offer {
	offer := o.Offer
	offer.CPA, offer.MonthlyBudget = USD(o.CPA), USD(o.MonthlyBudget)
	offer.CreatedAt = time.Time(o.CreatedAt)
	return offer
}

type amount USD

func (a *amount) UnmarshalJSON(data []byte) error {
	read, _ := readUSD(data)
	*a = amount(read)
	return nil
}

type anyTime time.Time

func (t *anyTime) UnmarshalText(text []byte) error {
	if (*time.Time)(t).UnmarshalText(text) != nil {
		*t = anyTime{}
	}
	return nil
}

// count is a number of pages or offers.
type count int

func (c *count) UnmarshalJSON(data []byte) error {
	*c = 0
	if n, err := strconv.ParseFloat(number(data), 64); err == nil && n == math.Trunc(n) && math.Abs(n) <= math.MaxInt32 {
		*c = count(n)
	}
	return nil
}
