package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// repository holds the modules in a folder, by path.
type repository struct {
	root    string
	modules map[string]*mod
}

type mod struct {
	folder string // relative to the root, "." for the root module
	file   *modfile.File
}

func (m *mod) path() string { return m.file.Module.Mod.Path }

// unreleased reports whether a folder's modules are not released.
func unreleased(folder string) bool {
	first, _, _ := strings.Cut(folder, "/")
	return slices.Contains([]string{"internal", "examples", "benchmarks"}, first)
}

// load reads all go.mod files in a folder. Like the go command it skips
// testdata and folders whose names begin with a dot or an underscore.
func load(root string) (*repository, error) {
	r := &repository{root: root, modules: map[string]*mod{}}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")):
			return fs.SkipDir
		case d.Name() != "go.mod":
			return nil
		}
		data, err := os.ReadFile(path) //nolint:gosec // found in the repository
		if err != nil {
			return err
		}
		file, err := modfile.Parse(path, data, nil)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		m := &mod{filepath.ToSlash(folder), file}
		r.modules[m.path()] = m
		return nil
	})
	if err == nil && len(r.modules) == 0 {
		err = fmt.Errorf("%s has no go.mod", root)
	}
	return r, err
}

// released returns the released modules, each after the modules that it
// requires. Tags are pushed in this order.
func (r *repository) released() ([]*mod, error) {
	paths := []string{}
	for path, m := range r.modules {
		if !unreleased(m.folder) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	var order []*mod
	state := map[string]int{} // 1: in progress, 2: done
	var visit func(path string) error
	visit = func(path string) error {
		m := r.modules[path]
		switch {
		case state[path] == 2:
			return nil
		case state[path] == 1:
			return fmt.Errorf("module %s requires itself through other modules", path)
		case unreleased(m.folder):
			return fmt.Errorf("a released module requires %s, which is not released", path)
		}
		state[path] = 1
		for _, required := range m.file.Require {
			if r.modules[required.Mod.Path] != nil {
				if err := visit(required.Mod.Path); err != nil {
					return err
				}
			}
		}
		state[path] = 2
		order = append(order, m)
		return nil
	}
	for _, path := range paths {
		if err := visit(path); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// write stores a changed go.mod.
func (r *repository) write(m *mod) error {
	m.file.Cleanup()
	data, err := m.file.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.root, m.folder, "go.mod"), data, 0o644) //nolint:gosec // as git has it
}
