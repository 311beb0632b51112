package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// checkVersion rejects an invalid version for these modules. From v2 on, their
// paths must end in /v2.
func checkVersion(version string) error {
	if !semver.IsValid(version) || semver.Canonical(version) != version || semver.Build(version) != "" {
		return fmt.Errorf("%q is not a version such as v0.1.0", version)
	}
	if major := semver.Major(version); major != "v0" && major != "v1" {
		return fmt.Errorf("%s: from v2 on, the paths of all modules must first end in /%s", version, major)
	}
	return nil
}

// checkNewer rejects a version that is not above the versions of the tags.
func checkNewer(version string, tags []string) error {
	for _, tag := range tags {
		if semver.IsValid(tag) && semver.Compare(version, tag) <= 0 {
			return fmt.Errorf("%s is not above %s, which is released", version, tag)
		}
	}
	return nil
}

// prepare sets the version in the root's source, in the requirements of all
// modules and in the changelog.
func (r *repository) prepare(version string, tags []string, now time.Time) error {
	if err := errors.Join(checkVersion(version), checkNewer(version, tags)); err != nil {
		return err
	}
	if err := r.setVersion(strings.TrimPrefix(version, "v")); err != nil {
		return err
	}
	for _, m := range r.modules {
		changed := false
		for _, required := range m.file.Require {
			if r.modules[required.Mod.Path] != nil && required.Mod.Version != version {
				if err := m.file.AddRequire(required.Mod.Path, version); err != nil {
					return err
				}
				changed = true
			}
		}
		if changed {
			if err := r.write(m); err != nil {
				return err
			}
		}
	}
	return r.edit("CHANGELOG.md", func(text string) (string, error) {
		return changelog(text, strings.TrimPrefix(version, "v"), now)
	})
}

var versionConst = regexp.MustCompile(`(?m)^const version = "([^"]*)"$`)

// setVersion changes the constant in client.go, and the user agent in the
// root's tests.
func (r *repository) setVersion(version string) error {
	var old string
	err := r.edit("client.go", func(text string) (string, error) {
		found := versionConst.FindStringSubmatch(text)
		if found == nil {
			return "", errors.New("there is no const version")
		}
		old = found[1]
		return strings.Replace(text, found[0], `const version = "`+version+`"`, 1), nil
	})
	if err != nil {
		return err
	}
	tests, err := filepath.Glob(filepath.Join(r.root, "*_test.go"))
	if err != nil {
		return err
	}
	for _, test := range tests {
		err := r.edit(filepath.Base(test), func(text string) (string, error) {
			return strings.ReplaceAll(text, "sparkloop-go/"+old+`"`, "sparkloop-go/"+version+`"`), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const unreleasedHeading = "## [Unreleased]\n"

// changelog moves the unreleased entries under a heading with the version.
func changelog(text, version string, now time.Time) (string, error) {
	if strings.Contains(text, "## ["+version+"]") {
		return "", fmt.Errorf("there is an entry for %s already", version)
	}
	before, after, found := strings.Cut(text, unreleasedHeading)
	if !found {
		return "", errors.New("there is no heading [Unreleased]")
	}
	entry, _, _ := strings.Cut(after, "\n## ")
	if !strings.Contains(entry, "\n- ") && !strings.HasPrefix(entry, "- ") {
		return "", errors.New("nothing is listed under [Unreleased]")
	}
	return before + unreleasedHeading + "\n## [" + version + "] - " + now.UTC().Format(time.DateOnly) + "\n" + after, nil
}

// detach removes replace from the modules with a command, because go install
// rejects them. Other builds of users ignore replace.
func (r *repository) detach() error {
	released, err := r.released()
	if err != nil {
		return err
	}
	for _, m := range released {
		if !strings.HasPrefix(m.folder, "cmd/") {
			continue
		}
		for len(m.file.Replace) > 0 {
			old := m.file.Replace[0].Old
			if err := m.file.DropReplace(old.Path, old.Version); err != nil {
				return err
			}
			m.file.Cleanup()
		}
		if err := r.write(m); err != nil {
			return err
		}
	}
	return nil
}

// edit changes a file.
func (r *repository) edit(name string, change func(string) (string, error)) error {
	path := filepath.Join(r.root, name)
	before, err := os.ReadFile(path) //nolint:gosec // of the repository
	if err != nil {
		return err
	}
	after, err := change(string(before))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if after == string(before) {
		return nil
	}
	return os.WriteFile(path, []byte(after), 0o644) //nolint:gosec // as git has it
}
