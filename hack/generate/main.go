// SPDX-License-Identifier: Apache-2.0

// Command generate writes everything in the repository that follows from the
// Go types and their markers: deepcopy functions, CustomResourceDefinitions,
// the operator's role, the API reference, and the Helm chart's copies. Run it
// from the root of the repository: go run ./hack/generate
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	bases     = "config/crd/bases"
	roles     = "config/rbac"
	chart     = "charts/foyer/files"
	reference = "docs/api.md"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	steps := []func(context.Context) error{deepcopy, definitions, operatorRole, apiReference, chartCopies}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func deepcopy(ctx context.Context) error {
	return controllerGen(ctx, "object:headerFile=hack/boilerplate.go.txt", "paths=./api/...")
}

// definitions deletes old files first: those of a removed kind would stay.
func definitions(ctx context.Context) error {
	if err := removeYAML(bases); err != nil {
		return err
	}
	return controllerGen(ctx, "crd", "paths=./api/...", "output:crd:dir="+bases)
}

func operatorRole(ctx context.Context) error {
	return controllerGen(ctx, "rbac:roleName=foyer-operator", "paths=./controllers/...", "paths=./internal/command/...",
		"output:rbac:dir="+roles)
}

func controllerGen(ctx context.Context, args ...string) error {
	line := append([]string{"tool", "-modfile=hack/tools.mod", "controller-gen"}, args...)
	command := exec.CommandContext(ctx, "go", line...) //nolint:gosec // the arguments are constants above
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("controller-gen %s: %w", args[0], err)
	}
	return nil
}

// chartCopies copies definitions and roles unchanged; the chart's templates
// loop over them.
func chartCopies(context.Context) error {
	target := filepath.Join(chart, "crds")
	if err := removeYAML(target); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(bases, "*.yaml"))
	if err != nil {
		return fmt.Errorf("list definitions: %w", err)
	}
	for _, file := range files {
		if err := copyFile(filepath.Join(target, filepath.Base(file)), file); err != nil {
			return err
		}
	}
	return copyFile(filepath.Join(chart, "rbac.yaml"), filepath.Join(roles, "role.yaml"), filepath.Join(roles, "user_roles.yaml"))
}

func removeYAML(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove old file: %w", err)
		}
	}
	return nil
}

// copyFile writes the YAML documents of several files into one.
func copyFile(to string, from ...string) error {
	var content []byte
	for i, file := range from {
		part, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read generated file: %w", err)
		}
		if i > 0 && !bytes.HasPrefix(part, []byte("---\n")) {
			content = append(content, "---\n"...)
		}
		content = append(content, part...)
	}
	if err := os.WriteFile(to, content, 0o644); err != nil { //nolint:gosec // source files are world-readable
		return fmt.Errorf("write copy: %w", err)
	}
	return nil
}
