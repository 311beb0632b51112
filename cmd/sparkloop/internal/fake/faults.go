package fake

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sparkloop-go/sparkloop/sparklooptest"
)

const minute = time.Minute

// kind is a fault that can be switched on.
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
			return sparklooptest.Fault{}, fmt.Errorf("status: %q is no status from 300 to 599", detail)
		}
		return sparklooptest.Status(code, fmt.Sprintf(`{"error":"%s"}`, http.StatusText(code))), nil
	}},
	{"wait", "90", "a 429 that asks to wait for so many seconds", func(detail string) (sparklooptest.Fault, error) {
		if n, err := strconv.Atoi(detail); err != nil || n < 1 {
			return sparklooptest.Fault{}, fmt.Errorf("wait: %q is no number of seconds", detail)
		}
		return sparklooptest.Status(http.StatusTooManyRequests, `{"error":"Too many requests"}`, "Retry-After", detail), nil
	}},
	{"delay", "5s", "an answer that comes late", func(detail string) (sparklooptest.Fault, error) {
		d, err := time.ParseDuration(detail)
		if err != nil || d <= 0 || d > time.Hour {
			return sparklooptest.Fault{}, fmt.Errorf("delay: %q is no duration up to 1h, such as 5s", detail)
		}
		return sparklooptest.Delay(d), nil
	}},
	{"reset", "", "a broken connection; nothing is carried out", plain(sparklooptest.Reset())},
	{"lost-answer", "", "carried out, but the answer is lost", plain(sparklooptest.LostAnswer())},
	{"cut-body", "", "carried out, but the answer breaks off", plain(sparklooptest.CutBody())},
	{"page", "", "200 with a sign-in page, as a hotel's network has", plain(sparklooptest.HTMLPage())},
	{"redirect", "", "302 to another page", plain(sparklooptest.Redirect("https://example.com/"))},
	{"endless", "", "an answer that never ends", plain(sparklooptest.EndlessBody())},
}

// FaultNames are the names for ParseFault, with the default detail.
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
