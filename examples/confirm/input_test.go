package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// outline writes a list that was read as one line per conversion: where it
// stands and its key, or ! if it cannot be read.
func outline(in input) []string {
	lines := []string{}
	for _, c := range in.conversions {
		key := "!"
		if !c.tracking.IsZero() {
			key = c.tracking.Key()
		}
		lines = append(lines, strings.Repeat(".", c.line)+key)
	}
	return lines
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{}},
		{"CSV", "o,a\no,b\n", []string{".o/a", "..o/b"}},
		{"encoded", "v1.o.a.1700000000\nv1.o.b.0", []string{".o/a", "..o/b"}},
		{"encoded in the first column", "v1.o.a.0,order 12", []string{".o/a"}},
		{"the same click in both forms", "o,a\nv1.o.a.1700000000", []string{".o/a"}},
		{"case matters in ids", "o,a\no,A", []string{".o/a", "..o/A"}},
		{"a header of another case", "OFFER,Submission,x\no,a", []string{"..o/a"}},
		{"quotes and spaces", ` "o" , "a"` + "\n" + `"o","b"`, []string{".!", "..o/b"}},
		{"spaces after the comma", `o, "a"`, []string{".o/a"}},
		{"blank lines count", "\n\no,a\n,,\n\no,b", []string{"...o/a", "......o/b"}},
		{"one column", "o\no,a", []string{".!", "..o/a"}},
		{"empty submission", "o,\n,a", []string{".!", "..!"}},
		{"a newer encoding", "v2.o.a.0.x", []string{".!"}},
		{"too long", "o," + strings.Repeat("a", 129), []string{".!"}},
		{"hostile", "o,a/../b\no,%2e%2e\no,a\x00", []string{".!", "..!", "...!"}},
		{"not UTF-8", "o,\xff\xfe\no,a", []string{".!", "..o/a"}},
		{"a field over two lines", "o,a,\"x\ny\"\no,b", []string{".o/a", "...o/b"}},
		{"a blank line in a field", "o,a,\"x\n\ny\"\no,b", []string{".o/a", "....o/b"}},
		{"a stray quote swallows nothing", "o,a,\"x\no,b\no,c,\"y\no,d", []string{".!", "..o/b", "...!", "....o/d"}},
		{"nor where all is quoted", "\"o\",\"a\",\"5\" x\"\n\"o\",\"b\",\"y\"", []string{".!", "..o/b"}},
		{"nor at the end", "o,a\no,b,\"", []string{".o/a", "..!"}},
		{"nor before encoded lines", "o,a,\"x\nv1.o.b.0\nz\"", []string{".!", "..o/b", "...!"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, outline(parse(tt.text)))
			if !strings.Contains(tt.text, "\x00") {
				assert.Equal(t, tt.want, outline(parse(strings.ReplaceAll(tt.text, "\n", "\r\n"))), "with CRLF")
			}
		})
	}
}

func TestParseKeepsTheTextOfEachLine(t *testing.T) {
	t.Parallel()
	in := parse("\uFEFFoffer,submission,note\r\no,a,\"x\r\ny\"\r\n bad \x1b[31m\r\no,a,again")
	assert.Equal(t, "offer,submission,note", in.header)
	assert.Equal(t, 1, in.repeated)
	assert.Equal(t, "o,a,\"x\ny\"", in.conversions[0].text)
	assert.Equal(t, " bad \x1b[31m", in.conversions[1].text)
	assert.Contains(t, in.conversions[1].reason, malformed)
}

func TestReportMalformedIsShortAndShowsNoForeignText(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	reportMalformed(&out, parse(strings.Repeat("\x1b]0;gotcha\n", 50)))
	assert.Equal(t, 21, strings.Count(out.String(), "\n"))
	assert.Contains(t, out.String(), "line 20 is not sent: malformed line: ")
	assert.Contains(t, out.String(), "and so are 30 more")
	assert.NotContains(t, out.String(), "gotcha")
}
