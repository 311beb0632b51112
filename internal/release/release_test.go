package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var day = time.Date(2026, 12, 1, 23, 0, 0, 0, time.UTC)

const log = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-11-25\n\n- All.\n"

// repo creates a small repository with a tool, an engine and an example.
func repo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"LICENSE":                    "MIT",
		"CHANGELOG.md":               log,
		"client.go":                  "package lib\n\nconst version = \"0.1.0\"\n",
		"client_test.go":             "package lib\n\nconst agent = \"sparkloop-go/0.1.0\"\n",
		"go.mod":                     "module host.example/lib\n\ngo 1.26.0\n",
		"engine/go.mod":              "module host.example/lib/engine\n\ngo 1.26.0\n\nrequire (\n\thost.example/lib v0.1.0\n\tother.example/x v0.1.0\n)\n\nreplace host.example/lib => ../\n",
		"engine/engine.go":           "package engine\n",
		"engine/testdata/x/go.mod":   "not a module that is looked at",
		"cmd/tool/go.mod":            "module host.example/lib/cmd/tool\n\ngo 1.26.0\n\nrequire host.example/lib v0.1.0\n\nrequire host.example/lib/engine v0.1.0 // indirect\n\nreplace (\n\thost.example/lib => ../..\n\thost.example/lib/engine => ../../engine\n)\n",
		"cmd/tool/main.go":           "package main\n",
		"cmd/tool/LICENSE":           "another",
		"examples/go.mod":            "module host.example/lib/examples\n\ngo 1.26.0\n\nrequire host.example/lib v0.1.0\n\nreplace host.example/lib => ../\n",
		"internal/hostile/go.mod":    "module host.example/lib/internal/hostile\n\ngo 1.26.0\n",
		".cache/go.mod":              "neither",
		"benchmarks/deeper/x/go.mod": "module host.example/lib/benchmarks\n\ngo 1.26.0\n",
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return dir
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(data)
}

func release(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(append([]string{"-C", dir}, args...), &out, day)
	return out.String(), err
}

func TestModulesComeAfterWhatTheyRequire(t *testing.T) {
	t.Parallel()
	out, err := release(t, repo(t), "modules")
	require.NoError(t, err)
	assert.Equal(t, ".\nengine\ncmd/tool\n", out)
}

func TestPrepareSetsTheVersionEverywhere(t *testing.T) {
	t.Parallel()
	dir := repo(t)
	_, err := release(t, dir, "prepare", "v0.2.0")
	require.NoError(t, err)
	assert.Contains(t, read(t, dir, "client.go"), `const version = "0.2.0"`)
	assert.Contains(t, read(t, dir, "client_test.go"), `"sparkloop-go/0.2.0"`)
	for _, folder := range []string{"engine", "cmd/tool", "examples"} {
		text := read(t, dir, folder, "go.mod")
		assert.Contains(t, text, "host.example/lib v0.2.0", folder)
		assert.NotContains(t, text, "lib v0.1.0", folder)
		assert.NotContains(t, text, "engine v0.1.0", folder)
		assert.Contains(t, text, "replace", folder)
	}
	assert.Contains(t, read(t, dir, "engine", "go.mod"), "other.example/x v0.1.0", "another's version stays")
	assert.Contains(t, read(t, dir, "cmd/tool", "go.mod"), "engine v0.2.0 // indirect")
	assert.Equal(t, "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-11-25\n\n- All.\n", read(t, dir, "CHANGELOG.md"))

	_, err = release(t, dir, "prepare", "v0.3.0")
	require.EqualError(t, err, "CHANGELOG.md: nothing is listed under [Unreleased]")
}

// The first release has the version that is already in the code.
func TestPrepareTheVersionThatIsThere(t *testing.T) {
	t.Parallel()
	dir := repo(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte("## [Unreleased]\n\n- All.\n"), 0o600))
	before := read(t, dir, "cmd/tool", "go.mod")
	_, err := release(t, dir, "prepare", "v0.1.0")
	require.NoError(t, err)
	assert.Equal(t, before, read(t, dir, "cmd/tool", "go.mod"))
	assert.Equal(t, "## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n\n- All.\n", read(t, dir, "CHANGELOG.md"))
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"":         `"" is not a version such as v0.1.0`,
		"0.2.0":    `"0.2.0" is not a version such as v0.1.0`,
		"v1":       `"v1" is not a version such as v0.1.0`,
		"v0.2.0+x": `"v0.2.0+x" is not a version such as v0.1.0`,
		"v2.0.0":   `v2.0.0: from v2 on, the paths of all modules must first end in /v2`,
		"v0.1.0":   `CHANGELOG.md: there is an entry for 0.1.0 already`,
	} {
		_, err := release(t, repo(t), "prepare", version)
		require.EqualError(t, err, want)
	}
	for _, tag := range []string{"v0.2.0", "v0.2.1-rc.1", "v0.10.0"} {
		_, err := release(t, repo(t), "prepare", "v0.2.0", "v0.1.0", tag)
		require.EqualError(t, err, "v0.2.0 is not above "+tag+", which is released")
	}
	_, err := release(t, repo(t), "prepare", "v0.10.0", "v0.9.0", "v0.10.0-rc.1", "nightly")
	require.NoError(t, err)
	for _, text := range []string{"# Changelog\n", "## [Unreleased]\n\nSoon.\n\n## [0.0.9]\n\n- Old.\n"} {
		_, err := changelog(text, "0.2.0", day)
		require.Error(t, err, text)
	}
	_, err = changelog("## [Unreleased]\n- A thing.\n", "0.2.0", day)
	require.NoError(t, err)
}

func TestDetachIsForCommandsAlone(t *testing.T) {
	t.Parallel()
	dir := repo(t)
	_, err := release(t, dir, "detach")
	require.NoError(t, err)
	assert.Equal(t, "module host.example/lib/cmd/tool\n\ngo 1.26.0\n\nrequire host.example/lib v0.1.0\n\nrequire host.example/lib/engine v0.1.0 // indirect\n", read(t, dir, "cmd/tool", "go.mod"))
	assert.Contains(t, read(t, dir, "engine", "go.mod"), "replace")
}

func TestProxyHasEachModuleByItself(t *testing.T) {
	t.Parallel()
	dir, out := repo(t), t.TempDir()
	_, err := release(t, dir, "proxy", "v0.1.0", out)
	require.NoError(t, err)
	for module, want := range map[string][]string{
		"host.example/lib":          {"CHANGELOG.md", "LICENSE", "client.go", "client_test.go", "go.mod"},
		"host.example/lib/engine":   {"LICENSE", "engine.go", "go.mod"},
		"host.example/lib/cmd/tool": {"LICENSE", "go.mod", "main.go"},
	} {
		at := filepath.Join(out, module, "@v", "v0.1.0")
		assert.JSONEq(t, `{"Version":"v0.1.0"}`, read(t, at+".info"))
		assert.Equal(t, read(t, dir, strings.TrimPrefix(module, "host.example/lib"), "go.mod"), read(t, at+".mod"))
		packed, err := zip.OpenReader(at + ".zip")
		require.NoError(t, err)
		defer packed.Close()
		names := []string{}
		for _, f := range packed.File {
			names = append(names, strings.TrimPrefix(f.Name, module+"@v0.1.0/"))
		}
		assert.ElementsMatch(t, want, names, module)
	}
	_, err = os.Stat(filepath.Join(out, "host.example/lib/examples"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = release(t, dir, "proxy", "0.1.0", out)
	require.Error(t, err)
}

func TestAReleasedModuleRequiresReleasedOnes(t *testing.T) {
	t.Parallel()
	dir := repo(t)
	path := filepath.Join(dir, "engine", "go.mod")
	text := read(t, path)
	for required, want := range map[string]string{
		"host.example/lib/examples": "a released module requires host.example/lib/examples, which is not released",
		"host.example/lib/cmd/tool": "module host.example/lib/cmd/tool requires itself through other modules",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text+"\nrequire "+required+" v0.1.0\n"), 0o600))
		_, err := release(t, dir, "modules")
		require.EqualError(t, err, want)
	}
	_, err := release(t, dir, "publish")
	require.ErrorContains(t, err, "usage")
	_, err = release(t, t.TempDir(), "modules")
	require.ErrorContains(t, err, "has no go.mod")
}
