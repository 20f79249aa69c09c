// SPDX-License-Identifier: Apache-2.0

package clientapi_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// picture is an image whose left half is red and whose right half is blue.
func picture(width, height int) *image.RGBA {
	i := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{R: 255, A: 255}
			if x >= width/2 {
				c = color.RGBA{B: 255, A: 255}
			}
			i.SetRGBA(x, y, c)
		}
	}
	return i
}

func encoded(t *testing.T, encode func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t *testing.T, i image.Image) []byte {
	return encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, i) })
}

// sidewaysJPEG is a photograph that was taken with the camera on its side.
func sidewaysJPEG(t *testing.T, i image.Image) []byte {
	plain := encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, i, nil) })
	exif := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(exif)+2))
	return bytes.Join([][]byte{plain[:2], segment, exif, plain[2:]}, nil)
}

// hugePNG claims a size that nobody wants to decode.
func hugePNG(width, height uint32) []byte {
	chunk := append([]byte("IHDR"), 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0)
	binary.BigEndian.PutUint32(chunk[4:], width)
	binary.BigEndian.PutUint32(chunk[8:], height)
	out := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), uint32(len(chunk)-4))
	return binary.BigEndian.AppendUint32(append(out, chunk...), crc32.ChecksumIEEE(chunk))
}

func uploadFile(c *homeservertest.Client, content []byte) string {
	uri := c.Post("/_matrix/media/v3/upload", content).OK().String("content_uri")
	return strings.TrimPrefix(uri, "mxc://")
}

func thumbnailPath(file, query string) string {
	return "/_matrix/client/v1/media/thumbnail/" + file + "?" + query
}

func TestThumbnailsFitWhatWasAskedFor(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	wide, sideways := uploadFile(alice, pngOf(t, picture(1000, 500))), uploadFile(alice, sidewaysJPEG(t, picture(1000, 500)))
	small := pngOf(t, picture(20, 10))
	for name, c := range map[string]struct {
		file, query string
		width       int
		height      int
	}{
		"scaled to the next larger size":         {wide, "width=300&height=200&method=scale", 320, 160},
		"scaled where no method is named":        {wide, "width=640&height=480", 640, 320},
		"cropped to a square":                    {wide, "width=96&height=96&method=crop", 96, 96},
		"never larger than the largest":          {wide, "width=4000&height=4000", 800, 400},
		"a photograph on its side stands up":     {sideways, "width=320&height=240", 120, 240},
		"a small image is returned as it is":     {uploadFile(alice, small), "width=320&height=240", 20, 10},
		"an animation parameter makes no odds":   {wide, "width=320&height=240&animated=true", 320, 160},
		"the second time it comes from the disk": {wide, "width=320&height=240", 320, 160},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				r := alice.With(t).Get(thumbnailPath(c.file, c.query)).OK()
				got, _, err := image.Decode(bytes.NewReader(r.Body))
				if err != nil {
					t.Fatal(err)
				}
				if size := got.Bounds().Size(); size.X != c.width || size.Y != c.height {
					t.Errorf("it is %d by %d, want %d by %d", size.X, size.Y, c.width, c.height)
				}
				if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "image/") && c.file == wide {
					t.Errorf("it is served as %s", kind)
				}
			}
		})
	}
	// What was left lies on top after a turn by 90 degrees clockwise.
	turned, _, err := image.Decode(bytes.NewReader(alice.Get(thumbnailPath(sideways, "width=320&height=240")).OK().Body))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, b, _ := turned.At(60, 20).RGBA(); r < b {
		t.Error("the photograph was turned the wrong way")
	}
}

func TestH72NoThumbnailOfWhatIsNoImage(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	file := uploadFile(alice, pngOf(t, picture(100, 100)))
	for _, query := range []string{"width=-1&height=9", "width=x&height=9", "height=9", "width=9", "width=0&height=0", "width=9&height=9&method=bend"} {
		alice.Get(thumbnailPath(file, query)).Refused(http.StatusBadRequest, "M_UNKNOWN")
	}
	for name, content := range map[string]string{
		"SVG": `<svg xmlns="http://www.w3.org/2000/svg"/>`, "TIFF": "II*\x00\x08\x00\x00\x00", "EPS": "%!PS-Adobe-3.0 EPSF-3.0",
		"text": "hello", "half a PNG": string(pngOf(t, picture(900, 900))[:200]),
	} {
		t.Run(name, func(t *testing.T) {
			alice.With(t).Get(thumbnailPath(uploadFile(alice, []byte(content)), "width=96&height=96")).Refused(http.StatusBadRequest, "M_UNKNOWN")
		})
	}
	s.Client().Get(thumbnailPath(file, "width=9&height=9")).Refused(http.StatusUnauthorized, "M_MISSING_TOKEN")
	alice.Get(thumbnailPath("test.example/none", "width=9&height=9")).Refused(http.StatusNotFound, "M_NOT_FOUND")
	s.Client().Get("/_matrix/media/v3/thumbnail/"+file+"?width=9&height=9").Refused(http.StatusNotFound, "M_NOT_FOUND")
}

func TestH73AnImageOfTooManyPixelsIsNotDecoded(t *testing.T) {
	s := homeservertest.New(t, homeservertest.Options{})
	alice := s.Register("alice")
	for _, side := range []uint32{50_000, 6_000} {
		t.Run(fmt.Sprint(side), func(t *testing.T) {
			file := uploadFile(alice, hugePNG(side, side))
			alice.With(t).Get(thumbnailPath(file, "width=96&height=96")).Refused(http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
		})
	}
}
