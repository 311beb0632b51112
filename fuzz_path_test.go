package sparkloop_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
)

// FuzzPath: the path of a confirmation has exactly the two IDs at their places,
// for every base. With an invalid ID nothing is sent.
func FuzzPath(f *testing.F) {
	for _, ids := range [][2]string{
		{"offer_1234abcd", "submission_1234abcd"}, {"o", "s"}, {"..", "s"}, {"o", "../.."}, {"o", ""}, {"o/x", "s"}, {"o%2fx", "s"}, {"o", "s?x=1"}, {"o", "s#x"},
		{"o", "s\r\nX-Evil: 1"}, {"ö", "s"}, {"o\x00", "s"}, {".", "s"}, {"o", `\s`}, {"o", "s;x"}, {"-", "_"}, {strings.Repeat("o", 128), strings.Repeat("s", 129)},
	} {
		f.Add(ids[0], ids[1])
	}
	var mu sync.Mutex
	var seen []string // segments found by the server, per request
	note := func(parts ...string) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, strings.Join(parts, " "))
	}
	mux := http.NewServeMux()
	for _, base := range []string{"/api/v2", "/a%2Fb"} {
		mux.HandleFunc("POST "+base+"/offers/{offer}/submissions/{submission}/conversion", func(w http.ResponseWriter, r *http.Request) {
			note(base, r.PathValue("offer"), r.PathValue("submission"), r.RequestURI)
			_, _ = w.Write([]byte(`{"message":"ok"}`))
		})
		mux.HandleFunc("GET "+base+"/offers/{offer}", func(w http.ResponseWriter, r *http.Request) {
			note(base, r.PathValue("offer"), r.RequestURI)
			_, _ = w.Write([]byte(`{"offer":{"uuid":"o"}}`))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		note("unknown", r.RequestURI)
		w.WriteHeader(http.StatusForbidden)
	})
	server := httptest.NewServer(mux)
	f.Cleanup(server.Close)
	clients := map[string]*sparkloop.Client{}
	for _, base := range []string{"/api/v2", "/a%2Fb"} {
		c, err := sparkloop.New(testKey, sparkloop.WithBaseURL(server.URL+base), sparkloop.WithRateLimit(0, 0), sparkloop.WithRetries(0))
		require.NoError(f, err)
		clients[base] = c
	}
	f.Fuzz(func(t *testing.T, offer, submission string) {
		for base, c := range clients {
			seen = nil
			_, confirmErr := c.Conversions.Confirm(t.Context(), sparkloop.Tracking{Offer: offer, Submission: submission})
			_, getErr := c.Offers.Get(t.Context(), offer)
			var want []string
			if anID.MatchString(offer) && anID.MatchString(submission) {
				require.NoError(t, confirmErr)
				want = append(want, strings.Join([]string{base, offer, submission, base + "/offers/" + offer + "/submissions/" + submission + "/conversion"}, " "))
			} else {
				require.Error(t, confirmErr)
				assert.False(t, sparkloop.Retryable(confirmErr))
			}
			if anID.MatchString(offer) {
				require.NoError(t, getErr)
				want = append(want, strings.Join([]string{base, offer, base + "/offers/" + offer}, " "))
			} else {
				require.ErrorIs(t, getErr, sparkloop.ErrInvalidTracking)
			}
			assert.Equal(t, want, seen)
		}
	})
}
