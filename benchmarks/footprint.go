package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// footprint is the size of a program with one call.
type footprint struct {
	name           string
	size, stripped int64 // bytes; stripped with -ldflags='-s -w'
	modules        int   // third-party modules, without the SDK itself
}

// measureFootprint builds the subject's program below footprint/, normal and
// stripped. Run the benchmarks in the module's folder.
func measureFootprint(ctx context.Context, s subject) (footprint, error) {
	f := footprint{name: s.name}
	dir, err := os.MkdirTemp("", "footprint")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	for _, build := range []struct {
		ldflags string
		size    *int64
	}{{"", &f.size}, {"-s -w", &f.stripped}} {
		program := filepath.Join(dir, "program")
		//nolint:gosec // the folders' names stand in this program
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags="+build.ldflags, "-o", program, "./footprint/"+s.program)
		if out, err := cmd.CombinedOutput(); err != nil {
			return f, fmt.Errorf("build the program of %s: %w\n%s", s.name, err, out)
		}
		stat, err := os.Stat(program)
		if err != nil {
			return f, err
		}
		*build.size = stat.Size()
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return f, err
		}
		f.modules = 0
		for _, module := range info.Deps {
			if module.Path != s.module {
				f.modules++
			}
		}
	}
	return f, nil
}
