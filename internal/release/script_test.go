package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sh runs a command in a folder, without the user's git settings.
func sh(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GOWORK=off",
		"GIT_AUTHOR_NAME=n", "GIT_AUTHOR_EMAIL=n@host.example", "GIT_COMMITTER_NAME=n", "GIT_COMMITTER_EMAIL=n@host.example")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func must(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := sh(t, dir, name, args...)
	require.NoError(t, err, out)
	return out
}

// cloned creates the small repository in git, with .ci/release. The rehearsal
// and the API comparison are stubs; api is the exit code of the comparison.
func cloned(t *testing.T, api string) string {
	t.Helper()
	dir := repo(t)
	here, err := os.Getwd()
	require.NoError(t, err)
	must(t, here, "go", "build", "-o", filepath.Join(dir, ".cache", "release"), ".")
	require.NoError(t, os.Remove(filepath.Join(dir, ".cache", "go.mod")))
	for name, text := range map[string]string{
		".ci/release":       read(t, "..", "..", ".ci", "release"),
		".ci/release-check": "#!/bin/sh\necho rehearsed $1\n",
		".ci/api":           "#!/bin/sh\necho compared $*\nexit " + api + "\n",
		".gitignore":        ".cache\n",
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o700))
	}
	must(t, dir, "git", "init", "--quiet", "--initial-branch=main")
	must(t, dir, "git", "add", "--all")
	must(t, dir, "git", "commit", "--quiet", "--message=Begin")
	must(t, dir, "git", "tag", "v0.1.0")
	return dir
}

func TestReleaseMakesCommitsAndTags(t *testing.T) {
	t.Parallel()
	dir := cloned(t, "1") // a breaking change, allowed in a minor version
	out := must(t, dir, ".ci/release", "v0.2.0")
	assert.Contains(t, out, "rehearsed v0.2.0")
	assert.NotContains(t, out, "compared")
	pushes := "    git push origin main\n    git push origin v0.2.0\n    git push origin engine/v0.2.0\n    git push origin cmd/tool/v0.2.0\n"
	assert.Contains(t, out, pushes)

	assert.Equal(t, "Build the commands with the modules of the clone again\nRelease v0.2.0\nBegin", must(t, dir, "git", "log", "--format=%s"))
	assert.Empty(t, must(t, dir, "git", "status", "--porcelain"))
	for _, tag := range []string{"v0.2.0", "engine/v0.2.0", "cmd/tool/v0.2.0"} {
		assert.Equal(t, must(t, dir, "git", "rev-parse", "HEAD~1"), must(t, dir, "git", "rev-parse", tag+"^{commit}"), tag)
	}
	released := must(t, dir, "git", "show", "v0.2.0:cmd/tool/go.mod")
	assert.NotContains(t, released, "replace")
	assert.Contains(t, released, "host.example/lib v0.2.0")
	now := read(t, dir, "cmd/tool/go.mod")
	assert.Contains(t, now, "replace")
	assert.Contains(t, now, "host.example/lib v0.2.0")
}

func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	dir := cloned(t, "1")
	refused := func(want string, args ...string) {
		t.Helper()
		out, err := sh(t, dir, ".ci/release", args...)
		require.Error(t, err)
		assert.Contains(t, out, want)
		assert.Equal(t, "Begin", must(t, dir, "git", "log", "--format=%s"))
	}
	refused("Give a version")
	refused("use a new minor version instead of v0.1.1", "v0.1.1")
	refused("v0.0.9 is not above v0.1.0", "v0.0.9")
	assert.Empty(t, must(t, dir, "git", "status", "--porcelain"))
	// One module's tag already exists: the tags created before it are removed.
	must(t, dir, "git", "tag", "cmd/tool/v0.3.0")
	refused("Nothing was released.", "v0.3.0")
	assert.Equal(t, "cmd/tool/v0.3.0\nv0.1.0", must(t, dir, "git", "tag"))
	assert.Empty(t, must(t, dir, "git", "status", "--porcelain"))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "new.go"), nil, 0o600))
	refused("Commit or stash your changes first", "v0.2.0")
}

func TestReleaseOfAPatch(t *testing.T) {
	t.Parallel()
	dir := cloned(t, "0")
	out := must(t, dir, ".ci/release", "v0.1.1")
	assert.Contains(t, out, "compared --since v0.1.0")
	assert.Contains(t, must(t, dir, "git", "tag"), "v0.1.1")
}
