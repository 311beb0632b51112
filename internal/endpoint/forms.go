package endpoint

import "net/url"

// referenceBase is the base in SparkLoop's API reference. SparkLoop's guide
// gives another base on the same host.
//
// https://docs.sparkloop.app/api-v2/endpoints/offers
const referenceBase = "https://api.sparkloop.app/v2"

// Endpoints are the API's endpoints, each with the forms of its address.
type Endpoints struct {
	Conversions, Offers *Finder
}

// Published returns the forms in SparkLoop's documents, in the order in which
// they are tried. guideBase must be a valid URL.
func Published(guideBase string) *Endpoints {
	guide, _ := url.Parse(guideBase)
	reference, _ := url.Parse(referenceBase)
	return endpoints([]*Form{
		{Base: guide, Leaf: "conversion"},
		{Base: reference, Leaf: "conversion"},
		{Base: reference, Leaf: "conversions"},
		{Base: guide, Leaf: "conversions"},
	}, []*Form{{Base: guide}, {Base: reference}})
}

// Pinned returns the forms below one base.
func Pinned(base *url.URL) *Endpoints {
	return endpoints([]*Form{
		{Base: base, Leaf: "conversion"},
		{Base: base, Leaf: "conversions"},
	}, []*Form{{Base: base}})
}

func endpoints(conversions, offers []*Form) *Endpoints {
	proven := new(Base)
	return &Endpoints{New(proven, conversions...), New(proven, offers...)}
}

// URL returns the address of a conversion, of an offer, or of the list of
// offers. The IDs must be valid or "".
func (f *Form) URL(offer, submission, query string) *url.URL {
	path := "/offers"
	switch {
	case submission != "":
		path = "/offers/" + url.PathEscape(offer) + "/submissions/" + url.PathEscape(submission) + "/" + f.Leaf
	case offer != "":
		path = "/offers/" + url.PathEscape(offer)
	}
	u := *f.Base
	if u.RawPath != "" {
		u.RawPath += path // a valid ID needs no escaping
	}
	u.Path += path
	u.RawQuery = query
	return &u
}
