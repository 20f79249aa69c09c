// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"runtime"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/images"
)

func image(_ context.Context, arguments []string) error {
	flags := newFlags("image")
	binary := flags.String("binary", "", "the static program")
	name := flags.String("name", "", "the image's full name with its tag")
	out := flags.String("out", "", "the archive to write")
	architecture := flags.String("arch", runtime.GOARCH, "the program's architecture, by Go's name")
	entrypoint := flags.String("entrypoint", "/foyer", "the program's path in the image")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *binary == "" || *name == "" || *out == "" {
		return errors.New("image: --binary, --name and --out are required")
	}
	if err := checkStatic(*binary); err != nil {
		return err
	}
	return images.Write(images.Static(*name, *architecture, *binary, *entrypoint), *out)
}

// checkStatic refuses a program that would not find its loader in the image.
func checkStatic(path string) error {
	file, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("read program %s: %w", path, err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static, and the image has no libraries: build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}
