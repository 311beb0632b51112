package calls_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sparkloop-go/sparkloop/internal/calls"
)

func TestOperation(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"": "", "/": "", "offers": calls.ListOffers, "/api/v2/offers": calls.ListOffers, "/offers/offers": calls.GetOffer,
		"/api/v2/offers/o": calls.GetOffer, "/offers/o/submissions": "", "/offers/o/submissions/s/conversion": "", "/metrics": "",
	} {
		assert.Equal(t, want, calls.Operation(http.MethodGet, path), path)
	}
	for path, want := range map[string]string{
		"/v2/offers/o/submissions/s/conversion": calls.Confirm, "offers/o/submissions/s/conversions": calls.Confirm,
		"/offers/o/submissions/s": "", "/offers": "", "conversion": "", "/offers/o/x/s/conversion": "", "/x/o/submissions/s/conversion": "",
	} {
		assert.Equal(t, want, calls.Operation(http.MethodPost, path), path)
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/api/v2/offers/o/submissions/s/conversion":          "POST /api/v2/offers/{offer}/submissions/{submission}/conversion",
		"/offers/offers/submissions/submissions/conversions": "POST /offers/{offer}/submissions/{submission}/conversions",
		"/offers/o": "GET /offers/{offer}", "/v2/offers": "GET /v2/offers", "/metrics/submission_1": "",
	} {
		method, template, _ := strings.Cut(want, " ")
		assert.Equal(t, template, calls.Template(method, path), path)
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	_, ok := calls.Delivery(t.Context())
	assert.False(t, ok)
	key, ok := calls.Delivery(calls.WithDelivery(t.Context(), "o/s"))
	assert.True(t, ok)
	assert.Equal(t, "o/s", key)
}
