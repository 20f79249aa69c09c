// SPDX-License-Identifier: Apache-2.0

// Package images makes container images from files, without a registry and
// without a container engine. The same files always make the same image.
package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Entry is a file, folder or symbolic link of an image.
type Entry struct {
	Path string
	Mode os.FileMode
	// Source is a file on this machine; Content is used when it is empty.
	Source  string
	Content string
	// Link makes it a symbolic link.
	Link string
	// Owner is both user and group.
	Owner int
}

// Image says what an image has.
type Image struct {
	// Name is the full name with its tag.
	Name string
	// Architecture is Go's name of it.
	Architecture string
	// Layers go from what changes least to what changes most.
	Layers [][]Entry
	Config v1.Config
}

// Write makes the image and writes it as an archive that docker, podman and
// containerd load.
func Write(image Image, path string) error {
	tag, err := name.NewTag(image.Name, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("image name (give registry, repository and tag): %w", err)
	}
	built, err := build(image)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the image's folder: %w", err)
	}
	unfinished := path + ".unfinished"
	if err := tarball.WriteToFile(unfinished, tag, built); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return os.Rename(unfinished, path)
}

func build(image Image) (v1.Image, error) {
	built := empty.Image
	for _, entries := range image.Layers {
		archive, err := layerArchive(entries)
		if err != nil {
			return nil, err
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
		layer, err := tarball.LayerFromOpener(open, tarball.WithCompressionLevel(gzip.BestSpeed))
		if err != nil {
			return nil, fmt.Errorf("make layer: %w", err)
		}
		if built, err = mutate.AppendLayers(built, layer); err != nil {
			return nil, fmt.Errorf("add layer: %w", err)
		}
	}
	file, err := built.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read image configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", image.Architecture, image.Config
	file.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	built, err = mutate.ConfigFile(built, file)
	if err != nil {
		return nil, fmt.Errorf("set image configuration: %w", err)
	}
	return built, nil
}

// layerArchive is a tar archive with no times and names of this machine.
func layerArchive(entries []Entry) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, entry := range entries {
		if err := add(w, entry); err != nil {
			return nil, fmt.Errorf("add %s to image: %w", entry.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("finish layer: %w", err)
	}
	return archive.Bytes(), nil
}

func add(w *tar.Writer, entry Entry) error {
	header := &tar.Header{
		Name: entry.Path, Mode: tarMode(entry.Mode), Uid: entry.Owner, Gid: entry.Owner,
		ModTime: time.Unix(0, 0), Format: tar.FormatPAX,
	}
	switch {
	case entry.Link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, entry.Link
		return w.WriteHeader(header)
	case entry.Mode.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, entry.Path+"/"
		return w.WriteHeader(header)
	}
	content := []byte(entry.Content)
	if entry.Source != "" {
		var err error
		if content, err = os.ReadFile(entry.Source); err != nil {
			return err
		}
	}
	header.Typeflag, header.Size = tar.TypeReg, int64(len(content))
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// tarMode adds the sticky bit, which Go keeps apart from the permissions.
func tarMode(mode os.FileMode) int64 {
	bits := int64(mode.Perm())
	if mode&os.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}
