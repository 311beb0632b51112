package sparklooptest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparkloop-go/sparkloop"
)

const jsonType = "application/json; charset=utf-8"

// Published bases and spellings of the conversion endpoint.
var (
	bases  = []string{"/api/v2", "/v2"}
	leaves = []string{"conversion", "conversions"}
)

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   string
}

func jsonReply(status int, body any) reply {
	data, err := json.Marshal(body)
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	return reply{status, http.Header{"Content-Type": {jsonType}}, string(data)}
}

func refusal(status int, message string) reply {
	return jsonReply(status, map[string]string{"error": message})
}

// answer handles a request. path is escaped.
func (s *Server) answer(method, path, rawQuery string, header http.Header) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	route := s.route(method, path)
	if route == nil {
		return s.cfg.unknownRoute.reply()
	}
	switch header.Get("X-Api-Key") {
	case s.cfg.key:
	case "":
		return refusal(http.StatusUnauthorized, "API key is missing!")
	default:
		return refusal(http.StatusUnauthorized, "User not found!")
	}
	if !s.withinLimit() {
		// Only the status is documented.
		return refusal(http.StatusTooManyRequests, "Too many requests")
	}
	query, _ := url.ParseQuery(rawQuery)
	return route(query)
}

// route returns the handler for a path, or nil.
func (s *Server) route(method, path string) func(url.Values) reply {
	for _, base := range bases {
		rest, ok := strings.CutPrefix(path, base+"/")
		if !ok || s.cfg.base != "" && s.cfg.base != base {
			continue
		}
		parts := strings.Split(rest, "/")
		for i := range parts {
			parts[i], _ = url.PathUnescape(parts[i])
		}
		switch {
		case parts[0] != "offers":
		case method == http.MethodGet && len(parts) == 1:
			return s.list
		case method == http.MethodGet && len(parts) == 2:
			return func(url.Values) reply { return s.get(parts[1]) }
		case method == http.MethodPost && len(parts) == 5 && parts[2] == "submissions" && s.knows(parts[4]):
			return func(url.Values) reply { return s.confirm(parts[1], parts[3]) }
		}
	}
	return nil
}

func (s *Server) knows(leaf string) bool {
	return slices.Contains(leaves, leaf) && (s.cfg.leaf == "" || s.cfg.leaf == leaf)
}

// withinLimit reports whether the rolling window has room, and counts the
// request.
func (s *Server) withinLimit() bool {
	if s.cfg.limit == 0 {
		return true
	}
	now := s.now()
	s.window = slices.DeleteFunc(s.window, func(t time.Time) bool { return now.Sub(t) >= s.cfg.per })
	if len(s.window) >= s.cfg.limit {
		return false
	}
	s.window = append(s.window, now)
	return true
}

// list handles GET /offers, newest first. per_page is 50 by default, at most
// 200. A value that is no number is ignored.
func (s *Server) list(query url.Values) reply {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(query.Get(name)); err == nil && n > 0 {
			return n
		}
		return otherwise
	}
	page, perPage := number("page", 1), min(number("per_page", 50), 200)
	total := len(s.offers)
	offers := []offerJSON{}
	if first := page - 1; first <= total/perPage { // a larger product may overflow
		for i := first * perPage; i < min(first*perPage+perPage, total); i++ {
			offers = append(offers, toJSON(s.offers[total-1-i]))
		}
	}
	return jsonReply(http.StatusOK, map[string]any{
		"offers": offers,
		"meta": map[string]int{
			"per_page": perPage, "page": page,
			"total_pages": (total + perPage - 1) / perPage, "total_offers": total,
		},
	})
}

// get handles GET /offers/:offer.
func (s *Server) get(id string) reply {
	if o := s.offer(id); o != nil {
		return jsonReply(http.StatusOK, map[string]any{"offer": toJSON(*o)})
	}
	return refusal(http.StatusNotFound, "Offer "+id+" not found.")
}

// confirm handles POST /offers/:offer/submissions/:submission/conversion.
func (s *Server) confirm(offer, id string) reply {
	o, sub := s.offer(offer), s.submissions[id]
	switch {
	case o == nil:
		return refusal(http.StatusNotFound, "Offer not found")
	case sub == nil || sub.tracking.Offer != offer:
		return refusal(http.StatusNotFound, "Submission not found")
	case o.ConversionType != sparkloop.ConversionAction:
		return refusal(http.StatusUnprocessableEntity, "Offer submission must be an action")
	case !sub.confirmed.IsZero():
		return refusal(http.StatusUnprocessableEntity, "Offer submission must be unique")
	case s.now().Sub(sub.clicked) > lifetime:
		// The API's text for this is not documented.
		return refusal(http.StatusUnprocessableEntity, "Offer submission has expired")
	}
	sub.confirmed = s.now()
	close(s.changed)
	s.changed = make(chan struct{})
	return jsonReply(http.StatusOK, map[string]string{"message": "Conversion tracked successfully"})
}

// offerJSON is an offer in the format of the API's reference.
type offerJSON struct {
	UUID            string      `json:"uuid"`
	Name            string      `json:"name"`
	Headline        string      `json:"headline"`
	Description     string      `json:"description"`
	Callout         string      `json:"callout"`
	RedirectURL     string      `json:"redirect_url"`
	ConversionType  string      `json:"conversion_type"`
	Visibility      string      `json:"visibility"`
	Status          string      `json:"status"`
	CreatedAt       string      `json:"created_at"`
	Landscape       string      `json:"landscape_image_url"`
	Portrait        string      `json:"portrait_image_url"`
	Geo             geoJSON     `json:"geo_restrictions"`
	MonthlyBudget   json.Number `json:"monthly_budget"`
	CPA             json.Number `json:"cpa"`
	ConversionEvent string      `json:"conversion_event"`
	Terms           string      `json:"terms"`
}

type geoJSON struct {
	Worldwide bool     `json:"allow_worldwide_referrals"`
	Allowed   []string `json:"allowed_countries"`
	Blocked   []string `json:"blocked_countries"`
}

func toJSON(o sparkloop.Offer) offerJSON {
	return offerJSON{
		UUID:            o.UUID,
		Name:            o.Name,
		Headline:        o.Headline,
		Description:     o.Description,
		Callout:         o.Callout,
		RedirectURL:     o.RedirectURL,
		ConversionType:  string(o.ConversionType),
		Visibility:      o.Visibility,
		Status:          o.Status,
		CreatedAt:       o.CreatedAt.Format("2006-01-02T15:04:05.000Z07:00"),
		Landscape:       o.LandscapeImageURL,
		Portrait:        o.PortraitImageURL,
		Geo:             geoJSON{o.GeoRestrictions.AllowWorldwideReferrals, o.GeoRestrictions.AllowedCountries, o.GeoRestrictions.BlockedCountries},
		MonthlyBudget:   json.Number(price(o.MonthlyBudget)),
		CPA:             json.Number(price(o.CPA)),
		ConversionEvent: o.ConversionEvent,
		Terms:           o.Terms,
	}
}
