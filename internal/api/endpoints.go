package api

import (
	"net/url"

	"github.com/sparkloop-go/sparkloop/internal/endpoint"
)

// referenceBase is the base that SparkLoop's API reference gives; its guide
// gives another one on the same host.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers
const referenceBase = "https://api.sparkloop.app/v2"

// Endpoints are the published forms of each endpoint and which of them is known.
type Endpoints struct {
	conversions, offers *endpoint.Finder
}

// Published are the forms that SparkLoop's documents name, in the order in
// which they are tried. guideBase is a valid URL.
func Published(guideBase string) *Endpoints {
	guide, _ := url.Parse(guideBase)
	reference, _ := url.Parse(referenceBase)
	return endpoints([]*endpoint.Form{
		{Base: guide, Leaf: "conversion"},
		{Base: reference, Leaf: "conversion"},
		{Base: reference, Leaf: "conversions"},
		{Base: guide, Leaf: "conversions"},
	}, []*endpoint.Form{{Base: guide}, {Base: reference}})
}

// Pinned are the forms below one base.
func Pinned(base *url.URL) *Endpoints {
	return endpoints([]*endpoint.Form{
		{Base: base, Leaf: "conversion"},
		{Base: base, Leaf: "conversions"},
	}, []*endpoint.Form{{Base: base}})
}

func endpoints(conversions, offers []*endpoint.Form) *Endpoints {
	proven := new(endpoint.Base)
	return &Endpoints{endpoint.New(proven, conversions...), endpoint.New(proven, offers...)}
}
