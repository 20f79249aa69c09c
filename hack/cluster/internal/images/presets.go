// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// NonRoot is the user that distroless images call nonroot.
	NonRoot = 65532
	// certificates is the same file on Debian and in the image.
	certificates = "/etc/ssl/certs/ca-certificates.crt"
	searchPath   = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Static is an image for one static program: what distroless calls static and
// nonroot, made from files of this machine.
func Static(name, architecture, binary, entrypoint string) Image {
	home := "home/nonroot"
	base := []Entry{
		{Path: "etc", Mode: os.ModeDir | 0o755},
		{Path: "etc/passwd", Mode: 0o644, Content: fmt.Sprintf(
			"root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:%d:%d:nonroot:/%s:/sbin/nologin\n",
			NonRoot, NonRoot, home)},
		{Path: "etc/group", Mode: 0o644, Content: fmt.Sprintf("root:x:0:\nnobody:x:65534:\nnonroot:x:%d:\n", NonRoot)},
		{Path: "etc/nsswitch.conf", Mode: 0o644, Content: "hosts: files dns\n"},
		{Path: "etc/ssl", Mode: os.ModeDir | 0o755},
		{Path: "etc/ssl/certs", Mode: os.ModeDir | 0o755},
		{Path: certificates[1:], Mode: 0o644, Source: certificates},
		{Path: "home", Mode: os.ModeDir | 0o755},
		{Path: home, Mode: os.ModeDir | 0o700, Owner: NonRoot},
		{Path: "tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
	}
	return Image{
		Name: name, Architecture: architecture,
		Layers: [][]Entry{base, {{Path: strings.TrimPrefix(entrypoint, "/"), Mode: 0o755, Source: binary}}},
		Config: v1.Config{
			User:       fmt.Sprintf("%d:%d", NonRoot, NonRoot),
			Env:        []string{"PATH=" + searchPath, "SSL_CERT_FILE=" + certificates},
			WorkingDir: "/" + home,
			Entrypoint: []string{entrypoint},
		},
	}
}

// Pause is the image of every pod's first container.
func Pause(name, architecture, binary string) Image {
	return Image{
		Name: name, Architecture: architecture,
		Layers: [][]Entry{{{Path: "pause", Mode: 0o755, Source: binary}}},
		Config: v1.Config{User: "65535:65535", Entrypoint: []string{"/pause"}},
	}
}

// Busybox is a small image with a shell, from Debian's busybox-static.
func Busybox(ctx context.Context, name, architecture string) (Image, error) {
	const binary = "/bin/busybox"
	output, err := exec.CommandContext(ctx, binary, "--list").Output()
	if err != nil {
		return Image{}, fmt.Errorf("list busybox's programs: %w", err)
	}
	entries := []Entry{
		{Path: "bin", Mode: os.ModeDir | 0o755},
		{Path: "bin/busybox", Mode: 0o755, Source: binary},
		{Path: "etc", Mode: os.ModeDir | 0o755},
		{Path: "etc/passwd", Mode: 0o644, Content: "root:x:0:0:root:/:/bin/sh\n"},
		{Path: "etc/group", Mode: 0o644, Content: "root:x:0:\n"},
		{Path: "tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
	}
	for _, program := range strings.Fields(string(output)) {
		if program != "busybox" {
			entries = append(entries, Entry{Path: path.Join("bin", program), Mode: 0o777, Link: "busybox"})
		}
	}
	return Image{
		Name: name, Architecture: architecture, Layers: [][]Entry{entries},
		Config: v1.Config{Env: []string{"PATH=" + searchPath}, Cmd: []string{"sh"}},
	}, nil
}
