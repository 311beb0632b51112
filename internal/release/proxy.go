package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// writeProxy writes all released modules into a folder for GOPROXY. The zips
// have the same files as the public proxy's.
func (r *repository) writeProxy(version, dir string) error {
	if err := checkVersion(version); err != nil {
		return err
	}
	released, err := r.released()
	if err != nil {
		return err
	}
	for _, m := range released {
		if err := r.writeModule(m, version, dir); err != nil {
			return fmt.Errorf("%s: %w", m.path(), err)
		}
	}
	return nil
}

func (r *repository) writeModule(m *mod, version, dir string) error {
	escaped, err := module.EscapePath(m.path())
	if err != nil {
		return err
	}
	at := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(at, 0o750); err != nil {
		return err
	}
	put := func(suffix string, data []byte) error {
		return os.WriteFile(filepath.Join(at, version+suffix), data, 0o600)
	}
	info, err := json.Marshal(map[string]string{"Version": version})
	if err != nil {
		return err
	}
	gomod, err := os.ReadFile(filepath.Join(r.root, m.folder, "go.mod"))
	if err != nil {
		return err
	}
	files, err := r.files(m)
	if err != nil {
		return err
	}
	var packed strings.Builder
	if err := zip.Create(&packed, module.Version{Path: m.path(), Version: version}, files); err != nil {
		return err
	}
	for suffix, data := range map[string][]byte{".info": info, ".mod": gomod, ".zip": []byte(packed.String())} {
		if err := put(suffix, data); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(at, "list"), []byte(version+"\n"), 0o600)
}

// file is a file for a zip.
type file struct{ name, path string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(f.path) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.path) }

// files returns a module's files, without those of nested modules. Like the go
// command it adds the repository's licence to a module without one.
func (r *repository) files(m *mod) ([]zip.File, error) {
	root := filepath.Join(r.root, m.folder)
	licensed := false
	var files []zip.File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		if d.IsDir() {
			if _, err := os.Lstat(filepath.Join(path, "go.mod")); err == nil || d.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		name, err := filepath.Rel(root, path)
		licensed = licensed || name == "LICENSE"
		files = append(files, file{filepath.ToSlash(name), path})
		return err
	})
	if err == nil && !licensed {
		files = append(files, file{"LICENSE", filepath.Join(r.root, "LICENSE")})
	}
	return files, err
}
