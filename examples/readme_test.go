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

// TestReadme holds the README against the files: each snippet stands in Go code
// that is compiled, line by line, and each link leads to something.
func TestReadme(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	readme := string(data)

	var code strings.Builder
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		data, err := os.ReadFile(path)
		code.WriteString(unindented(string(data)))
		return err
	}))
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1)
	require.NotEmpty(t, snippets)
	for _, snippet := range snippets {
		if !strings.Contains(code.String(), unindented(snippet[1])) {
			t.Errorf("this snippet is in no Go file:\n%s", snippet[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(readme, -1) {
		if !strings.Contains(link[1], "://") {
			_, err := os.Stat(filepath.Join("..", link[1]))
			assert.NoError(t, err)
		}
	}
}

func unindented(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
