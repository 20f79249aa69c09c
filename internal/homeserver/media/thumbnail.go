// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // formats that are decoded, all by memory-safe code
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// ThumbnailRequest asks for a small version of an image.
type ThumbnailRequest struct {
	Wanted
	// Width and Height are what the client has room for, in pixels.
	Width, Height int
	// Crop fills the whole size and cuts off the rest; otherwise the whole image fits in.
	Crop bool
}

// thumbnailSizes are the sizes that are made, as the specification suggests:
// a request gets the next larger one, so that nobody can have endless
// versions of an image made.
// https://spec.matrix.org/v1.19/client-server-api/#thumbnails
var thumbnailSizes = []struct {
	width, height int
	crop          bool
}{
	{32, 32, true}, {96, 96, true}, {320, 240, false}, {640, 480, false}, {800, 600, false},
}

const (
	// maxPixels bounds what is decoded: about 100 MB of memory.
	maxPixels = 25_000_000
	// maxSide is refused before anything is multiplied.
	maxSide = 30_000
	// thumbnailQuality is of JPEG.
	thumbnailQuality = 80
)

// Thumbnail returns a small version of an uploaded image, which the caller
// closes. An image that is small already is returned as it is.
//
// Errors for clients: those of Open, 400 M_UNKNOWN for what is no image of a
// known format, 413 M_TOO_LARGE for too many pixels.
func (s *Service) Thumbnail(ctx context.Context, r ThumbnailRequest) (store.Media, *os.File, error) {
	m, original, err := s.Open(ctx, r.Wanted)
	if err != nil {
		return m, nil, err
	}
	size := thumbnailSizes[len(thumbnailSizes)-1]
	for _, one := range thumbnailSizes {
		if one.crop == r.Crop && one.width >= r.Width && one.height >= r.Height {
			size = one
			break
		}
	}
	path := filepath.Join(s.Dir, "thumbnails", hex.EncodeToString(m.SHA256)[:2],
		fmt.Sprintf("%x-%dx%d-%t", m.SHA256, size.width, size.height, size.crop))
	small, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		var same bool
		if same, err = s.makeThumbnail(ctx, original, path, scaling{size.width, size.height, size.crop}); same && err == nil {
			_, err = original.Seek(0, io.SeekStart)
			return m, original, err
		}
		if err == nil {
			small, err = os.Open(path)
		}
	}
	if err != nil {
		_ = original.Close()
		return m, nil, err
	}
	m.ContentType = sniff(small)
	m.FileName = ""
	return m, small, original.Close()
}

// sniff tells the two formats of thumbnails apart.
func sniff(f *os.File) string {
	var head [512]byte
	n, _ := f.ReadAt(head[:], 0) // a short file is a short head
	return http.DetectContentType(head[:n])
}

// scaling is the size of a thumbnail.
type scaling struct {
	width, height int
	crop          bool
}

// makeThumbnail writes the thumbnail of original to path. same is true if the
// image is no larger than the thumbnail would be. One image is decoded at a
// time, whatever the number of requests.
func (s *Service) makeThumbnail(ctx context.Context, original *os.File, path string, to scaling) (same bool, err error) {
	select {
	case s.decoding <- struct{}{}:
		defer func() { <-s.decoding }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	config, format, err := image.DecodeConfig(bufio.NewReader(original))
	if err != nil {
		return false, matrixerr.BadRequest(matrixerr.CodeUnknown, "no thumbnail can be made of this file")
	}
	if config.Width > maxSide || config.Height > maxSide || config.Width*config.Height > maxPixels {
		return false, matrixerr.TooLarge("the image has too many pixels for a thumbnail")
	}
	turn := 1
	if format == "jpeg" {
		if turn, err = orientation(original); err != nil {
			return false, err
		}
	}
	if config.Width <= to.width && config.Height <= to.height && turn == 1 {
		return true, nil
	}
	if _, err := original.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("read image: %w", err)
	}
	decoded, _, err := image.Decode(bufio.NewReader(original))
	if err != nil {
		return false, matrixerr.BadRequest(matrixerr.CodeUnknown, "the image is damaged")
	}
	return false, full(s.write(path, to.apply(decoded, turn)))
}

// apply returns the thumbnail of an image that is to be turned first.
func (to scaling) apply(from image.Image, turn int) image.Image {
	size := from.Bounds().Size()
	if swapsSides(turn) {
		size.X, size.Y = size.Y, size.X
	}
	// Scale so that the image covers the thumbnail, or fits into it.
	x, y := float64(to.width)/float64(size.X), float64(to.height)/float64(size.Y)
	factor := min(x, y, 1)
	if to.crop {
		factor = min(max(x, y), 1)
	}
	width, height := max(1, int(float64(size.X)*factor+.5)), max(1, int(float64(size.Y)*factor+.5))
	if swapsSides(turn) {
		width, height = height, width
	}
	scaled := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.ApproxBiLinear.Scale(scaled, scaled.Bounds(), from, from.Bounds(), draw.Src, nil)
	turned := turned(scaled, turn)
	if !to.crop {
		return turned
	}
	bounds := turned.Bounds()
	cut := image.Rect(0, 0, min(to.width, bounds.Dx()), min(to.height, bounds.Dy())).
		Add(image.Pt(max(0, bounds.Dx()-to.width)/2, max(0, bounds.Dy()-to.height)/2))
	return turned.SubImage(cut)
}

// write encodes a thumbnail beside its place and moves it there, so that no
// reader sees half of it.
func (s *Service) write(path string, thumbnail image.Image) error {
	f, err := os.CreateTemp(s.tmp(), "thumbnail-*")
	if err != nil {
		return fmt.Errorf("create thumbnail: %w", err)
	}
	out := bufio.NewWriter(f)
	if isOpaque(thumbnail) {
		err = jpeg.Encode(out, thumbnail, &jpeg.Options{Quality: thumbnailQuality})
	} else {
		err = png.Encode(out, thumbnail)
	}
	if err == nil {
		err = out.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write thumbnail: %w", err)
	}
	return nil
}

func isOpaque(i image.Image) bool {
	o, ok := i.(interface{ Opaque() bool })
	return ok && o.Opaque()
}

// ParseSize reads a width or height of a request.
func ParseSize(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, matrixerr.BadRequest(matrixerr.CodeUnknown, "width and height must be positive whole numbers")
	}
	return n, nil
}
