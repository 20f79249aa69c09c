// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"io"
	"os"
)

// Cameras store photographs as the sensor lies and note in the EXIF data how
// they were held. A thumbnail has no EXIF data, so it has to be turned.
// Orientations are numbered 1 (upright) to 8, as in the EXIF standard.

// exifSearch is how far into a file EXIF data is looked for.
const exifSearch = 128 << 10

// orientation returns the orientation of a JPEG file, 1 if it does not say.
func orientation(f *os.File) (int, error) {
	head := make([]byte, exifSearch)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("read image: %w", err)
	}
	return exifOrientation(head[:n]), nil
}

// exifOrientation walks the segments of a JPEG file up to the EXIF one.
func exifOrientation(jpeg []byte) int {
	const headerSize = 4 // marker and length
	if !bytes.HasPrefix(jpeg, []byte{0xff, 0xd8}) {
		return 1
	}
	for rest := jpeg[2:]; len(rest) > headerSize && rest[0] == 0xff; {
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < 2 || len(rest) < 2+length {
			return 1
		}
		body := rest[headerSize : 2+length]
		if rest[1] == 0xe1 {
			if tiff, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00")); ok {
				return tiffOrientation(tiff)
			}
		}
		rest = rest[2+length:]
	}
	return 1
}

// tiffOrientation looks for the tag 0x0112 in the first directory.
func tiffOrientation(tiff []byte) int {
	var order binary.ByteOrder = binary.BigEndian
	if bytes.HasPrefix(tiff, []byte("II")) {
		order = binary.LittleEndian
	}
	if len(tiff) < 8 {
		return 1
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 1
	}
	const entrySize = 12
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < entrySize {
			return 1
		}
		if order.Uint16(entries) == 0x0112 {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[entrySize:]
	}
	return 1
}

// swapsSides tells whether an orientation makes width of height.
func swapsSides(turn int) bool { return turn >= 5 }

// turned returns the image upright.
func turned(from *image.RGBA, turn int) *image.RGBA {
	if turn == 1 {
		return from
	}
	w, h := from.Bounds().Dx(), from.Bounds().Dy()
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	if swapsSides(turn) {
		to = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			tx, ty := turnedPoint(turn, x, y, w, h)
			copy(to.Pix[to.PixOffset(tx, ty):][:4], from.Pix[from.PixOffset(x, y):][:4])
		}
	}
	return to
}

// turnedPoint is where a point of a w by h image comes to lie.
func turnedPoint(turn, x, y, w, h int) (int, int) {
	switch turn {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return h - 1 - y, x
	case 7:
		return h - 1 - y, w - 1 - x
	case 8:
		return y, w - 1 - x
	default:
		return x, y
	}
}
