package pgtest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// places are the folders in which systems install the server's programs, as
// patterns for filepath.Glob. The highest version in a path wins.
var places = []string{
	"/usr/lib/postgresql/*/bin", // Debian
	"/usr/pgsql-*/bin",          // PostgreSQL's own packages for Red Hat
	"/usr/libexec/postgresql*",  // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/opt/homebrew/bin",
	"/usr/local/pgsql/bin",
	"/usr/local/bin",
}

// programs returns the given folder, or the result of find if it is "".
func programs(folder string) (string, error) {
	switch {
	case folder == "":
		return find(os.Getenv("PATH"), places)
	case filepath.IsAbs(folder) && holdsServer(folder):
		return folder, nil
	}
	return "", fmt.Errorf("pgtest: SPARKLOOP_POSTGRES: no initdb and postgres in %q", folder)
}

var version = regexp.MustCompile(`\d+(\.\d+)?`)

// find returns the folder of the server's programs. It is the first one in
// path, a list such as $PATH, or else the highest version among patterns.
func find(path string, patterns []string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) && holdsServer(dir) {
			return dir, nil
		}
	}
	best, found := "", -1.0
	for _, pattern := range patterns {
		dirs, _ := filepath.Glob(pattern) // the patterns are valid
		for _, dir := range dirs {
			// The last number counts: a parent folder may have one too.
			numbers := version.FindAllString(dir, -1)
			number := 0.0
			if len(numbers) > 0 {
				number, _ = strconv.ParseFloat(numbers[len(numbers)-1], 64) // digits
			}
			if cmp.Compare(number, found) > 0 && holdsServer(dir) {
				best, found = dir, number
			}
		}
	}
	if best == "" {
		return "", fmt.Errorf("%w: PostgreSQL: no initdb and postgres in PATH, nor in folders such as /usr/lib/postgresql/*/bin", ErrNotInstalled)
	}
	return best, nil
}

// holdsServer reports whether a folder has the programs to create a cluster.
func holdsServer(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, program)) //nolint:gosec // a folder of the user's PATH
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}
