package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	snippet = regexp.MustCompile("(?s)```(?:go|js|sql)\n(.*?)```")
	link    = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// dropped is what an anchor leaves out of its heading.
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestReadme compares the README and docs/ with the files: each snippet stands in
// a Go file that is compiled, or in a script of an example's page, and each link
// leads to something.
func TestReadme(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".js" {
			return err
		}
		code.WriteString(unindented(read(t, path)))
		return nil
	}))
	pages, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	snippets := 0
	for _, page := range append(pages, "../README.md") {
		text := read(t, page)
		for _, found := range snippet.FindAllStringSubmatch(text, -1) {
			snippets++
			if !strings.Contains(code.String(), unindented(found[1])) {
				t.Errorf("%s: this snippet is in no file:\n%s", page, found[1])
			}
		}
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(found[1], "://") {
				assertLeads(t, page, found[1], strings.TrimPrefix(found[2], "#"))
			}
		}
	}
	require.NotZero(t, snippets)
}

// assertLeads asserts that a link on a page leads to a file, and to a heading.
func assertLeads(t *testing.T, page, to, anchor string) {
	t.Helper()
	path := page
	if to != "" {
		path = filepath.Join(filepath.Dir(page), to)
	}
	if _, err := os.Stat(path); !assert.NoError(t, err, page) || anchor == "" {
		return
	}
	anchors := []string{}
	for _, found := range heading.FindAllStringSubmatch(read(t, path), -1) {
		anchors = append(anchors, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-"))
	}
	assert.Contains(t, anchors, anchor, page)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
