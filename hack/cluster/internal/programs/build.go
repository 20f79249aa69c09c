// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
	"github.com/foyer-matrix/foyer/hack/cluster/internal/progress"
)

// Builder builds programs into the store and links them into the bin folder.
type Builder struct {
	// Sources is the folder programs/ of this module.
	Sources string
	Dirs    layout.Dirs
	Log     *progress.Log
}

// Build makes sure that each program exists and is current. It returns a
// fingerprint that changes when any of them does.
func (b Builder) Build(ctx context.Context, wanted ...Program) (string, error) {
	toolchain, err := goOutput(ctx, b.Sources, "env", "GOVERSION", "GOARCH")
	if err != nil {
		return "", err
	}
	var keys []string
	for _, program := range wanted {
		built, err := b.program(ctx, program, strings.Join(strings.Fields(toolchain), " "))
		if err != nil {
			return "", fmt.Errorf("build %s: %w", program.Name, err)
		}
		keys = append(keys, built)
	}
	return strings.Join(keys, " "), nil
}

// program builds one program unless the store has it, and links it.
func (b Builder) program(ctx context.Context, p Program, toolchain string) (string, error) {
	source := filepath.Join(b.Sources, p.Folder)
	title := p.Name
	var release string
	if p.Module != "" {
		var err error
		if release, err = version(source, p.Module); err != nil {
			return "", err
		}
		title += " " + release
	}
	// -p 2: the compiler's memory is what runs out first on a small machine.
	arguments := []string{
		"build", "-p", "2", "-trimpath", "-buildvcs=false", "-ldflags", linkerFlags(p.VersionVariables, release),
	}
	hash, err := key(os.DirFS(source), toolchain, append(arguments, p.Package, p.Files))
	if err != nil {
		return "", err
	}
	name := p.Name + "-" + hash
	target := filepath.Join(b.Dirs.Store(), name)
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		err = b.Log.Step("build "+title, func() error { return b.compile(ctx, p, arguments, target) })
		if err != nil {
			return "", err
		}
		b.forgetOthers(p.Name, name)
	}
	return name, b.link(p, target)
}

// compile builds into a folder beside target and renames it when complete, so
// that an interrupted build leaves nothing that looks finished.
func (b Builder) compile(ctx context.Context, p Program, arguments []string, target string) error {
	unfinished := target + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("clear an interrupted build: %w", err)
	}
	if err := os.MkdirAll(unfinished, 0o755); err != nil {
		return fmt.Errorf("make a store folder: %w", err)
	}
	source := filepath.Join(b.Sources, p.Folder)
	arguments = append(arguments, "-o", filepath.Join(unfinished, p.Name), p.Package)
	if _, err := goOutput(ctx, source, arguments...); err != nil {
		return err
	}
	if p.Files != "" {
		module, err := goOutput(ctx, source, "list", "-m", "-f", "{{.Dir}}", p.Module)
		if err != nil {
			return err
		}
		files := os.DirFS(filepath.Join(module, p.Files))
		if err := os.CopyFS(filepath.Join(unfinished, filepath.Base(p.Files)), files); err != nil {
			return fmt.Errorf("copy files of the module: %w", err)
		}
	}
	return os.Rename(unfinished, target)
}

// link points the names in the bin folder at a folder of the store.
func (b Builder) link(p Program, target string) error {
	if err := os.MkdirAll(b.Dirs.Bin(), 0o755); err != nil {
		return fmt.Errorf("make the bin folder: %w", err)
	}
	binary := filepath.Join(target, p.Name)
	for _, name := range append([]string{p.Name}, p.Links...) {
		if err := Symlink(binary, b.Dirs.Program(name)); err != nil {
			return err
		}
	}
	if p.Files == "" {
		return nil
	}
	return Symlink(filepath.Join(target, filepath.Base(p.Files)), b.Dirs.Program(p.Name+".files"))
}

// Symlink makes or replaces a link in one step, so that no reader finds it missing.
func Symlink(target, link string) error {
	if current, err := os.Readlink(link); err == nil && current == target {
		return nil
	}
	fresh := link + ".new"
	_ = os.Remove(fresh)
	if err := os.Symlink(target, fresh); err != nil {
		return fmt.Errorf("link a program: %w", err)
	}
	return os.Rename(fresh, link)
}

// forgetOthers deletes older builds of a program. One that still runs keeps its
// file until it ends; a failure only costs disk.
func (b Builder) forgetOthers(program, keep string) {
	old, _ := filepath.Glob(filepath.Join(b.Dirs.Store(), program+"-*"))
	for _, path := range old {
		if base := filepath.Base(path); base != keep && len(base) == len(keep) {
			_ = os.RemoveAll(path)
		}
	}
}

// goOutput runs the go command without cgo and returns what it prints.
func goOutput(ctx context.Context, dir string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = dir
	// A workspace or flags of the caller must not change what is built.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", arguments[0], dir, err, stderr.String())
	}
	return strings.TrimSpace(string(output)), nil
}
