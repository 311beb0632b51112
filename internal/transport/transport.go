// Package transport sends one request until it has an answer to return.
// go-retryablehttp runs the loop. This package decides what is retried, how long a
// pause lasts and when to stop. Package reply decides what an answer means.
package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// A Limiter paces requests; see sparkloop.Limiter.
type Limiter interface {
	Wait(ctx context.Context) error
	Pause(ctx context.Context, d time.Duration) error
}

// Config is the configuration of a Transport. It is not changed after New.
type Config struct {
	Client                 *http.Client        // not changed
	Authorize              func(http.Header)   // adds the key to a request
	Redact                 func(string) string // removes the key from a text for the log
	UserAgent              string
	Retries                int           // attempts after the first
	BackoffMin, BackoffMax time.Duration // between attempts
	PauseMax               time.Duration // the longest pause of all calls after a 429
	Limiter                Limiter       // nil: no pacing
	Streak                 *Streak       // of 429s
	Log                    Log           // nil: silent
}

// Transport sends requests. It is safe for concurrent use.
type Transport struct {
	cfg    Config
	client *http.Client
	calls  sync.Pool // of *Answer
}

// New returns a Transport for a complete Config.
func New(cfg Config) *Transport {
	if cfg.Log == nil {
		cfg.Log = silent
	}
	t := &Transport{cfg: cfg, client: sender(cfg)}
	t.calls.New = func() any { return newAnswer(t) }
	return t
}

// pauseTimeout bounds one call of Limiter.Pause.
const pauseTimeout = 5 * time.Second

// ErrNoSlot means that the limiter had no slot before the deadline.
var ErrNoSlot = errors.New("no slot for a request in time")

// Answer is the result of a call: the server's last answer, and the error after
// it. It must be released, and not used after that.
type Answer struct {
	Method string
	URL    *url.URL

	// StatusCode, Header and Body are those of the last answer. StatusCode is 0
	// without one. Body has at most MaxBody bytes.
	StatusCode int
	Header     http.Header
	Body       []byte

	// Err is set if the call did not end with a whole answer: the error of the
	// network, the context or the limiter, or several in one. An earlier answer
	// stays in the other fields.
	Err error

	// Attempts is how many requests were sent.
	Attempts int

	t     *Transport
	loop  retryablehttp.Client
	req   retryablehttp.Request
	began time.Time     // when the current attempt was sent
	wait  time.Duration // before the next attempt
}

// newAnswer binds the hooks once: they are pooled with the answer.
func newAnswer(t *Transport) *Answer {
	a := &Answer{t: t}
	a.loop = retryablehttp.Client{
		HTTPClient: t.client,
		RetryMax:   t.cfg.Retries,
		CheckRetry: a.check,
		Backoff:    func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return a.wait },
		PrepareRetry: func(r *http.Request) error {
			r.Header = make(http.Header) // a cookie jar has written on the last one
			return a.prepare(r.Context())
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	return a
}

// Do sends one request without a body and returns the result.
func (t *Transport) Do(ctx context.Context, method string, u *url.URL) *Answer {
	a := t.calls.Get().(*Answer)
	a.Method, a.URL = method, u
	if err := a.prepare(ctx); err != nil {
		a.logGivingUp(ctx)
		return a
	}
	a.req.Request = (&http.Request{
		Method: method, URL: u, Host: u.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	_, err := a.loop.Do(&a.req) //nolint:bodyclose // keep has read and closed it
	a.req.Request = nil
	if ended := ctx.Err(); err != nil && ended != nil && !errors.Is(a.Err, ended) {
		a.fail(fmt.Errorf("gave up: %w", ended))
	}
	if a.Err != nil || temporary(a.StatusCode) || a.StatusCode/100 >= 5 {
		a.logGivingUp(ctx)
	}
	return a
}

// Release puts the answer back into the pool. A later call overwrites its Body.
func (a *Answer) Release() {
	a.Method, a.URL, a.StatusCode, a.Header, a.Err, a.Attempts = "", nil, 0, nil, nil, 0
	if cap(a.Body) > keepBuffer {
		a.Body = nil
	}
	a.Body = a.Body[:0]
	a.t.calls.Put(a)
}

// prepare waits for a slot of the limiter.
func (a *Answer) prepare(ctx context.Context) error {
	err := ctx.Err()
	if err == nil && a.t.cfg.Limiter != nil {
		if err = a.t.cfg.Limiter.Wait(ctx); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrNoSlot, err)
		}
	}
	if err != nil {
		a.fail(err)
		return err
	}
	a.began = time.Now()
	return nil
}

// check stores the result of an attempt and decides about another attempt.
func (a *Answer) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	a.Attempts++
	a.keep(ctx, resp, err)
	a.logAttempt(ctx, resp, err)

	retry := temporary(a.StatusCode)
	if a.Err != nil {
		retry = ctx.Err() == nil && passing(a.Err)
	}
	throttled := resp != nil && resp.StatusCode == http.StatusTooManyRequests
	if resp != nil && !throttled {
		a.t.cfg.Streak.reset()
	}
	if !retry && !throttled {
		return false, nil
	}
	var asked time.Duration // from the latest answer
	if resp != nil {
		asked, _ = RetryAfter(resp.Header)
	}
	wait := asked
	if wait <= 0 {
		wait = backoff(a.t.cfg.BackoffMin, a.t.cfg.BackoffMax, a.Attempts-1)
	}
	if throttled {
		wait = a.tooMany(ctx, asked)
	}
	if !retry || a.Attempts > a.t.cfg.Retries || asked > maxSleep {
		return false, nil
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		a.fail(fmt.Errorf("the next try is in %s, too late: %w", wait.Round(time.Millisecond), context.DeadlineExceeded))
		return false, nil
	}
	a.wait = wait
	return true, nil
}

// keep stores the result of an attempt. A new answer replaces the previous one;
// an error does not.
func (a *Answer) keep(ctx context.Context, resp *http.Response, err error) {
	a.Err = nil
	if resp == nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the address is known
		}
		a.Err = proxyRefusal(a.URL, err)
		return
	}
	if resp.StatusCode >= 100 {
		a.StatusCode, a.Header = resp.StatusCode, resp.Header
		a.Body, a.Err = readBody(ctx, a.Body[:0], resp)
	} else { // net/http accepts status 000, which means no answer here
		a.Err = fmt.Errorf("malformed HTTP status code %03d", resp.StatusCode)
	}
	resp.Body.Close()
	resp.Body = http.NoBody // nothing is left for the loop to drain
}

// tooMany pauses all calls after a 429 and returns how long this call waits: the
// Retry-After, or else a backoff that doubles with every 429 in a row.
func (a *Answer) tooMany(ctx context.Context, asked time.Duration) time.Duration {
	wait := asked
	if wait <= 0 {
		n := a.t.cfg.Streak.count(a.began)
		wait = backoff(a.t.cfg.BackoffMin, a.t.cfg.PauseMax, n)
		wait = max(wait, ceiling(a.t.cfg.BackoffMin, a.t.cfg.PauseMax, n)/2)
		wait = min(wait, a.t.cfg.PauseMax)
	}
	if a.t.cfg.Limiter == nil {
		return wait
	}
	// The pause is for all calls, even if this one has no time left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pauseTimeout)
	defer cancel()
	if err := a.t.cfg.Limiter.Pause(ctx, min(wait, a.t.cfg.PauseMax)); err != nil {
		a.logNoPause(ctx, err)
	}
	return wait
}

// fail adds an error to that of the last attempt.
func (a *Answer) fail(err error) {
	if a.Err != nil {
		err = fmt.Errorf("%w; %w", a.Err, err)
	}
	a.Err = err
}
