package fake

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const minute = time.Minute

// kind is a fault that can be turned on.
type kind struct {
	Name, Detail, Says string // Detail is the default
	make               func(detail string) (sparklooptest.Fault, error)
}

func plain(f sparklooptest.Fault) func(string) (sparklooptest.Fault, error) {
	return func(string) (sparklooptest.Fault, error) { return f, nil }
}

var faults = []kind{
	{"status", "503", "an error with this status", func(detail string) (sparklooptest.Fault, error) {
		code, err := strconv.Atoi(detail)
		if err != nil || code < 300 || code > 599 {
			return sparklooptest.Fault{}, fmt.Errorf("status: %q is not a status from 300 to 599", detail)
		}
		return sparklooptest.Status(code, fmt.Sprintf(`{"error":"%s"}`, http.StatusText(code))), nil
	}},
	{"wait", "90", "a 429 with a Retry-After in seconds", func(detail string) (sparklooptest.Fault, error) {
		if n, err := strconv.Atoi(detail); err != nil || n < 1 {
			return sparklooptest.Fault{}, fmt.Errorf("wait: %q is not a number of seconds", detail)
		}
		return sparklooptest.Status(http.StatusTooManyRequests, `{"error":"Too many requests"}`, "Retry-After", detail), nil
	}},
	{"delay", "5s", "a delayed answer", func(detail string) (sparklooptest.Fault, error) {
		d, err := time.ParseDuration(detail)
		if err != nil || d <= 0 || d > time.Hour {
			return sparklooptest.Fault{}, fmt.Errorf("delay: %q is not a duration up to 1h, such as 5s", detail)
		}
		return sparklooptest.Delay(d), nil
	}},
	{"reset", "", "a broken connection; the request has no effect", plain(sparklooptest.Reset())},
	{"lost-answer", "", "the request takes effect, but the answer is lost", plain(sparklooptest.LostAnswer())},
	{"cut-body", "", "the request takes effect, but the answer is cut off", plain(sparklooptest.CutBody())},
	{"page", "", "200 with a sign-in page, as in a hotel", plain(sparklooptest.HTMLPage())},
	{"redirect", "", "302 to another page", plain(sparklooptest.Redirect("https://example.com/"))},
	{"endless", "", "an answer that never ends", plain(sparklooptest.EndlessBody())},
}

// FaultNames returns the names for ParseFault, with the default details.
func FaultNames() []string {
	names := make([]string, len(faults))
	for i, k := range faults {
		names[i] = k.Name
		if k.Detail != "" {
			names[i] += "=" + k.Detail
		}
	}
	return names
}
