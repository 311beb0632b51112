package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sparkloop-go/sparkloop"
	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

// stage is a running "sparkloop fake".
type stage struct {
	base  string // of the page
	end   func() int
	hc    *http.Client
	first string // the output at the start
}

// said is a writer that tests can wait for.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func startFake(t *testing.T, args ...string) *stage {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var out said
	code := make(chan int, 1)
	a := &app{getenv: func(string) string { return secret }, in: strings.NewReader(""), out: &out, err: &out}
	go func() { code <- run(ctx, append([]string{"fake", "--listen", "127.0.0.1:0"}, args...), a) }()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "End with Ctrl-C.") }, 30*time.Second, time.Millisecond, "%s", &out)
	base := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(out.String())
	require.NotContains(t, out.String(), secret)
	s := &stage{base: base, first: out.String(), hc: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.end = sync.OnceValue(func() int { stop(); return <-code })
	t.Cleanup(func() { s.end() })
	return s
}

func (s *stage) client(t *testing.T, opts ...sparkloop.Option) *sparkloop.Client {
	t.Helper()
	c, err := sparkloop.New(sparklooptest.APIKey, append([]sparkloop.Option{
		sparkloop.WithBaseURL(s.base + "/api/v2"), sparkloop.WithBackoff(time.Millisecond, time.Millisecond), sparkloop.WithRateLimit(0, 0),
	}, opts...)...)
	require.NoError(t, err)
	return c
}

// get opens a page, and returns its redirect.
func (s *stage) get(t *testing.T, path string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+path, nil)
	require.NoError(t, err)
	resp, err := s.hc.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body), resp.Header.Get("Location")
}

// post sends a form of the page.
func (s *stage) post(t *testing.T, path, form string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+path, strings.NewReader(form))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.hc.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// click follows a click link.
func (s *stage) click(t *testing.T, path string) sparkloop.Tracking {
	t.Helper()
	code, _, landing := s.get(t, path)
	require.Equal(t, http.StatusFound, code)
	tr, err := sparkloop.ParseTracking(landing)
	require.NoError(t, err)
	return tr
}

func TestTheFakeFromClickToConfirmation(t *testing.T) {
	t.Parallel()
	s := startFake(t, "--landing", "http://localhost:3000/signup?utm=1")
	assert.Contains(t, s.first, "SPARKLOOP_BASE_URL="+s.base+"/api/v2\n")
	assert.Contains(t, s.first, "SPARKLOOP_API_KEY=test-key\n")
	code, _, landing := s.get(t, "/click/"+offer)
	assert.Equal(t, http.StatusFound, code)
	assert.Regexp(t, `^http://localhost:3000/signup\?utm=1&submission=submission_[0-9a-f]{16}&offer=offer_1234abcd$`, landing)
	_, _, landing = s.get(t, "/click/"+offer+"?to="+url.QueryEscape("https://shop.example/x?a=b"))
	assert.Regexp(t, `^https://shop\.example/x\?a=b&submission=`, landing)
	tr, err := sparkloop.ParseTracking(landing)
	require.NoError(t, err)

	confirmation, err := s.client(t).Conversions.Confirm(t.Context(), tr)
	require.NoError(t, err)
	assert.False(t, confirmation.AlreadyConfirmed)
	_, err = s.client(t).Conversions.Confirm(t.Context(), sparkloop.Tracking{Offer: offer, Submission: "unknown"})
	require.ErrorIs(t, err, sparkloop.ErrSubmissionNotFound)

	_, page, _ := s.get(t, "/")
	assert.Contains(t, page, tr.Submission)
	assert.Contains(t, page, `href="/click/offer_1234abcd"`)
	assert.Contains(t, page, "POST /api/v2/offers/offer_1234abcd/submissions/unknown/conversion")
	_, body, _ := s.get(t, "/state.json")
	var v struct {
		Submissions []struct {
			Submission, State, Last string
			Asked                   int
		}
		Requests []struct{ Answer string }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &v))
	require.Len(t, v.Submissions, 2)
	assert.Equal(t, tr.Submission, v.Submissions[0].Submission)
	assert.Equal(t, "confirmed", v.Submissions[0].State)
	assert.Equal(t, 1, v.Submissions[0].Asked)
	assert.Equal(t, "200 OK", v.Submissions[0].Last)
	assert.Equal(t, "waiting", v.Submissions[1].State)
	assert.Equal(t, "404 Not Found", v.Requests[0].Answer)
	assert.Equal(t, exitDone, s.end(), "Ctrl-C is how it ends")
}

func TestTheFakeKeepsItsState(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/fake.json"
	s := startFake(t, "--state", file)
	code, _ := s.post(t, "/offers", "name=Second+%3Cb%3E&type=action&landing=https%3A%2F%2Fshop.example%2Fbuy")
	require.Equal(t, http.StatusSeeOther, code)
	_, body, _ := s.get(t, "/state.json")
	second := regexp.MustCompile(`offer_[0-9a-f]{8}"`).FindAllString(body, -1)
	require.NotEmpty(t, second)
	id := strings.Trim(second[len(second)-1], `"`)
	require.NotEqual(t, offer, id)
	open, done, lost := s.click(t, "/click/"+id), s.click(t, "/click/"+offer), s.click(t, "/click/"+offer)
	_, err := s.client(t).Conversions.Confirm(t.Context(), done)
	require.NoError(t, err)
	code, _ = s.post(t, "/faults", "fault=lost-answer&times=1")
	require.Equal(t, http.StatusSeeOther, code)
	_, err = s.client(t, sparkloop.WithRetries(0)).Conversions.Confirm(t.Context(), lost)
	require.Error(t, err)
	require.Equal(t, exitDone, s.end())

	d := newDesk(t)
	s = startFake(t, "--state", file)
	got := d.run(t, "fake", "--state", file, "--listen", "127.0.0.1:0")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.err, "in use by another run")
	for tr, already := range map[sparkloop.Tracking]bool{open: false, done: true, lost: true} {
		confirmation, err := s.client(t).Conversions.Confirm(t.Context(), tr)
		require.NoError(t, err)
		assert.Equal(t, already, confirmation.AlreadyConfirmed, tr.Key())
	}
	_, page, _ := s.get(t, "/")
	assert.Contains(t, page, "Second &lt;b&gt;")
	assert.Contains(t, page, "https://shop.example/buy")
	again := s.click(t, "/click/"+offer)
	for _, old := range []sparkloop.Tracking{open, done, lost} {
		assert.NotEqual(t, old.Submission, again.Submission)
	}
	require.Equal(t, exitDone, s.end())

	for name, text := range map[string]string{
		"not JSON":        "Dear diary",
		"another file":    `{"offers":[]}`,
		"a bad ID":        `{"sparkloop_fake":1,"submissions":[{"offer":"offer_1234abcd","submission":"a/b"}]}`,
		"a bad offer":     `{"sparkloop_fake":1,"offers":[{"id":"a/b"}]}`,
		"an unknown one":  `{"sparkloop_fake":1,"submissions":[{"offer":"x","submission":"a"}]}`,
		"the same twice":  `{"sparkloop_fake":1,"submissions":[{"offer":"offer_1234abcd","submission":"a"},{"offer":"offer_1234abcd","submission":"a"}]}`,
		"an empty file":   "",
		"a folder's name": "\x00",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		got := d.run(t, "fake", "--state", file, "--listen", "127.0.0.1:0")
		assert.Equal(t, exitUsage, got.code, name)
		assert.Contains(t, got.err, file, name)
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, text, string(data), "it is left as it was")
	}
}

func TestFaultsOfTheFake(t *testing.T) {
	t.Parallel()
	s := startFake(t, "--fault", "status=500:2", "--limit", "0")
	c := s.client(t, sparkloop.WithRetries(0))
	list := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := c.Offers.List(ctx, sparkloop.ListOffersParams{})
		return err
	}
	require.ErrorContains(t, list(), "500")
	_, page, _ := s.get(t, "/")
	assert.Contains(t, page, "status 500, 1 request")
	require.ErrorContains(t, list(), "500")
	require.NoError(t, list())
	// net/http repeats a GET once if a used connection breaks.
	for form, says := range map[string]string{
		"fault=status&detail=403&times=1": "403",
		"fault=status&times=1":            "503",
		"fault=wait&times=1":              "429",
		"fault=reset":                     "",
		"fault=lost-answer":               "",
		"fault=cut-body":                  "",
		"fault=page&times=1":              "",
		"fault=redirect":                  "",
		"fault=endless":                   "",
	} {
		code, _ := s.post(t, "/faults", form)
		require.Equal(t, http.StatusSeeOther, code, form)
		require.ErrorContains(t, list(), says, form)
		code, _ = s.post(t, "/faults", "fault=none")
		require.Equal(t, http.StatusSeeOther, code)
		require.NoError(t, list(), form)
	}
	code, _ := s.post(t, "/faults", "fault=delay&detail=1ms")
	require.Equal(t, http.StatusSeeOther, code)
	require.NoError(t, list())
	for _, form := range []string{"fault=x", "fault=status&detail=200", "fault=status&detail=x", "fault=wait&detail=-1", "fault=delay&detail=2h", "fault=reset&times=0", "fault=reset&times=x", ""} {
		code, _ := s.post(t, "/faults", form)
		assert.Equal(t, http.StatusBadRequest, code, form)
	}
}

func TestTheFakeIsNotSteeredByOtherSites(t *testing.T) {
	t.Parallel()
	s := startFake(t)
	code, _ := s.post(t, "/faults", "fault=reset", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusForbidden, code)
	code, _, _ = s.get(t, "/click/"+offer+"?to=javascript:alert(1)")
	assert.Equal(t, http.StatusBadRequest, code)
	code, _, _ = s.get(t, "/click/unknown")
	assert.Equal(t, http.StatusNotFound, code)
	code, _, _ = s.get(t, "/else")
	assert.Equal(t, http.StatusNotFound, code)
	for _, form := range []string{"name=&type=action", "name=x&type=other", "name=x&type=lead&landing=ftp://x", "name=" + strings.Repeat("x", 101) + "&type=lead"} {
		code, _ = s.post(t, "/offers", form)
		assert.Equal(t, http.StatusBadRequest, code, form)
	}
	// The fake sets no cookie, because the application may run on the same
	// host.
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	s.hc.Jar = jar
	s.get(t, "/")
	u, err := url.Parse(s.base)
	require.NoError(t, err)
	assert.Empty(t, jar.Cookies(u))
}

func TestTheFakesUsage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for says, args := range map[string][]string{
		`"x" is not a fault: choose from none, status=503`: {"--fault", "x"},
		"is not a landing page":                            {"--landing", "shop.example"},
		"--limit must be 0 or more":                        {"--limit", "-1"},
		"unknown command":                                  {"more"},
	} {
		got := d.run(t, append([]string{"fake", "--listen", "127.0.0.1:0"}, args...)...)
		assert.Equal(t, exitUsage, got.code, args)
		assert.Contains(t, got.err, says)
	}
	got := d.run(t, "fake", "--listen", strings.TrimSuffix(strings.TrimPrefix(d.api.URL(), "http://"), "/api/v2"))
	assert.Equal(t, exitFailed, got.code)
	assert.Contains(t, got.err, "in use")
	s := startFake(t, "--key", "another")
	assert.NotContains(t, s.first, "another")
	_, err := s.client(t).Offers.List(t.Context(), sparkloop.ListOffersParams{})
	require.ErrorIs(t, err, sparkloop.ErrUnauthorized)
}
