package reply

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"github.com/sparkloop-go/sparkloop/internal/transport"
)

// longestTitle limits the shown part of a page's title or of a text.
const longestTitle = 100

// page describes what answered instead of the API: the page of a proxy or a
// firewall. It returns "" if it has nothing to add to the status.
func page(a *transport.Answer) string {
	body := bytes.TrimSpace(a.Body)
	server := a.Header.Get("Server")
	if len(body) == 0 {
		return ""
	}
	what := "answered by "
	if body[0] == '<' {
		what += "an HTML page"
		title := title(body)
		if title == "" && server == "" && a.StatusCode >= 500 {
			return ""
		}
		if title != "" {
			what += " " + strconv.Quote(title)
		}
	} else {
		what += "the text " + strconv.Quote(shortened(string(body[:min(len(body), 4*longestTitle)])))
	}
	if server != "" {
		what += " from the server " + strconv.Quote(shortened(server))
	}
	return what
}

var titleTag = regexp.MustCompile(`(?i)<title[^>]*>([^<]*)`)

// title returns the title of an HTML page.
func title(page []byte) string {
	if found := titleTag.FindSubmatch(page[:min(len(page), 16<<10)]); found != nil {
		return shortened(string(found[1]))
	}
	return ""
}

// shortened returns a text in one line with single spaces, limited in length.
func shortened(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, " ")), " ")
	if len(s) <= longestTitle {
		return s
	}
	return strings.ToValidUTF8(s[:longestTitle], "") + "..."
}

// redirect names the host that a 3xx redirects to.
func redirect(a *transport.Answer) string {
	location := a.Header.Get("Location")
	if location == "" || a.StatusCode/100 != 3 {
		return ""
	}
	target, err := a.URL.Parse(location)
	if err != nil {
		return ""
	}
	return "a redirect to " + target.Host
}
