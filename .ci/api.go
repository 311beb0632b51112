//go:build ignore

// Api prints the exported declarations of the packages in some folders, sorted,
// without comments and bodies. The output is compared with an earlier listing.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	for i, folder := range os.Args[1:] {
		if i > 0 {
			fmt.Println()
		}
		fmt.Printf("package %s\n", folder)
		for _, line := range exported(folder) {
			fmt.Println("\n" + line)
		}
	}
}

// exported returns the exported declarations of the package in a folder.
func exported(folder string) []string {
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		log.Fatal(err)
	}
	files := token.NewFileSet()
	var all []string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			log.Fatal(err)
		}
		if !ast.FileExports(file) {
			continue
		}
		for _, decl := range file.Decls {
			all = append(all, split(files, decl)...)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	return all
}

// split prints a declaration. Grouped constants become one line each.
func split(files *token.FileSet, decl ast.Decl) []string {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil && !ast.IsExported(receiver(d.Recv.List[0].Type)) {
			return nil
		}
		d.Body = nil
		return []string{text(files, d)}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil
		}
		var parts []string
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
				v.Values = nil
			}
			parts = append(parts, text(files, &ast.GenDecl{Tok: d.Tok, Specs: []ast.Spec{spec}}))
		}
		return parts
	}
	return nil
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func text(files *token.FileSet, node any) string {
	var b bytes.Buffer
	if err := format.Node(&b, files, node); err != nil {
		log.Fatal(err)
	}
	return b.String()
}

// rank orders constants, variables, types, functions, methods.
func rank(decl string) int {
	return slices.IndexFunc([]string{"const", "var", "type", "func ", "func("}, func(prefix string) bool {
		return strings.HasPrefix(decl, prefix)
	})
}
