package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const prefix = "github.com/playhead-pipeline/playhead"

// violation is a broken rule at a place.
type violation struct{ rule, at, what, reason string }

func (v violation) String() string {
	return fmt.Sprintf("%s: %s (%s: %s)", v.at, v.what, v.rule, v.reason)
}

// goPackage is what go list tells about a package.
type goPackage struct {
	Dir, ImportPath, Name                    string
	GoFiles, TestGoFiles, XTestGoFiles       []string
	IgnoredGoFiles                           []string
	Imports, Deps, TestImports, XTestImports []string
}

// repository returns the folder of go.work.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.work above the test")
		}
	}
}

var useLine = regexp.MustCompile(`(?m)^\s*(?:use\s+)?(\./\S+)`)

// load lists the packages of every module of the workspace in dir. Each module is listed alone: the workspace would hide whom it really
// requires. Packages that do not build are listed as far as they go; building them is the business of scripts/mods.sh.
func load(t *testing.T, dir string) []goPackage {
	t.Helper()
	work, err := os.ReadFile(filepath.Join(dir, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for _, m := range useLine.FindAllStringSubmatch(string(work), -1) {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-e",
			"-json=Dir,ImportPath,Name,GoFiles,TestGoFiles,XTestGoFiles,IgnoredGoFiles,Imports,Deps,TestImports,XTestImports", "./...")
		cmd.Dir = filepath.Join(dir, m[1])
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("list packages of %s: %v\n%s", m[1], err, stderr.String())
		}
		for dec := json.NewDecoder(bytes.NewReader(out)); ; {
			var p goPackage
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
	}
	return all
}

// matches tells whether an import path fits one of the patterns.
func matches(importPath string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return compile(p).MatchString(importPath) })
}

// compiled remembers patterns: each is matched against every import of every package.
var compiled sync.Map // string -> *regexp.Regexp

func compile(pattern string) *regexp.Regexp {
	if r, ok := compiled.Load(pattern); ok {
		return r.(*regexp.Regexp)
	}
	expr := regexp.QuoteMeta(strings.Replace(pattern, "~", prefix, 1))
	expr = strings.ReplaceAll(expr, `\.\.\.`, `.*`)
	// "x/..." means x too.
	if rest, ok := strings.CutSuffix(expr, "/.*"); ok {
		expr = rest + "(/.*)?"
	}
	r := regexp.MustCompile("^" + expr + "$")
	compiled.Store(pattern, r)
	return r
}

// check returns what the packages violate.
func check(t *testing.T, packages []goPackage) []violation {
	t.Helper()
	var found []violation
	for _, p := range packages {
		for _, r := range importRules {
			found = append(found, r.check(p)...)
		}
		found = append(found, checkSources(t, p)...)
	}
	return found
}

func (r importRule) check(p goPackage) []violation {
	if !matches(p.ImportPath, r.from) || matches(p.ImportPath, r.except) {
		return nil
	}
	imports := slices.Clone(p.Imports)
	if r.deep {
		imports = append(imports, p.Deps...)
	}
	if r.tests {
		imports = append(append(imports, p.TestImports...), p.XTestImports...)
	}
	slices.Sort(imports)
	var found []violation
	for _, i := range slices.Compact(imports) {
		if i != p.ImportPath && matches(i, r.to) && !matches(i, r.allow) {
			found = append(found, violation{r.name, p.ImportPath, "imports " + i, r.reason})
		}
	}
	return found
}

// checkSources parses the files of a package and applies the rules of their contents. Generated code is exempt but for its package's name.
func checkSources(t *testing.T, p goPackage) []violation {
	t.Helper()
	var found []violation
	if slices.Contains(vagueNames, strings.TrimSuffix(p.Name, "_test")) || slices.Contains(vagueNames, path.Base(p.ImportPath)) {
		found = append(found, violation{rulePackageName, p.ImportPath, "is named " + p.Name, "a package is named for what it provides"})
	}
	comments, declares := 0, false
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse %s: %v", name, err)
			continue
		}
		if ast.IsGenerated(file) {
			comments, declares = 1, true
			continue
		}
		test := strings.HasSuffix(name, "_test.go")
		at := func(pos token.Pos) string {
			return fmt.Sprintf("%s/%s:%d", p.ImportPath, name, fset.Position(pos).Line)
		}
		if !test {
			declares = declares || declaresMore(file)
			if file.Doc != nil {
				comments++
			}
			found = append(found, checkInit(file, at)...)
		}
		for _, r := range symbolRules {
			found = append(found, r.check(p.ImportPath, file, test, at)...)
		}
	}
	// A file that only pins requirements declares nothing and needs no comment; neither does a package of tests.
	if declares && comments != 1 {
		found = append(found, violation{ruleComment, p.ImportPath, fmt.Sprintf("has %d package comments", comments), "exactly one says what the package owns"})
	}
	return found
}

// declaresMore tells whether a file declares anything but imports.
func declaresMore(file *ast.File) bool {
	return slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		g, ok := d.(*ast.GenDecl)
		return !ok || g.Tok != token.IMPORT
	})
}

func checkInit(file *ast.File, at func(token.Pos) string) []violation {
	var found []violation
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			found = append(found, violation{ruleInit, at(f.Pos()), "has an init function", "what runs at import cannot be configured, tested or left out"})
		}
	}
	return found
}

// binds tells whether the rule is for this file.
func (r symbolRule) binds(importPath string, file *ast.File, test bool) bool {
	if len(r.only) > 0 && !matches(importPath, r.only) || matches(importPath, r.except) {
		return false
	}
	switch r.tests {
	case notInTests:
		return !test
	case testsOnRealTime:
		return test && !slices.Contains(importNames(file), "testing/synctest")
	}
	return true
}

func (r symbolRule) check(importPath string, file *ast.File, test bool, at func(token.Pos) string) []violation {
	if !r.binds(importPath, file, test) {
		return nil
	}
	var found []violation
	report := func(pos token.Pos, symbol string) {
		if slices.Contains(r.symbols, symbol) {
			found = append(found, violation{r.name, at(pos), "uses " + symbol, r.reason})
		}
	}
	names := make(map[string]string) // local name -> import path
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		report(spec.Pos(), imported+".*")
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = imported
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && names[x.Name] != "" {
				report(s.Pos(), names[x.Name]+"."+s.Sel.Name)
			}
		}
		return true
	})
	return found
}

func importNames(file *ast.File) []string {
	var all []string
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		all = append(all, imported)
	}
	return all
}
