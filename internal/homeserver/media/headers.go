// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/hex"
	"mime"
	"net/http"
	"strings"

	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// inlineTypes may be shown by a browser; everything else is a download. No
// type that runs scripts is among them.
// https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content
var inlineTypes = map[string]bool{
	"text/css": true, "text/plain": true, "text/csv": true, "application/json": true, "application/ld+json": true,
	"image/jpeg": true, "image/gif": true, "image/png": true, "image/apng": true, "image/webp": true, "image/avif": true,
	"video/mp4": true, "video/webm": true, "video/ogg": true, "video/quicktime": true,
	"audio/mp4": true, "audio/webm": true, "audio/aac": true, "audio/mpeg": true, "audio/ogg": true, "audio/wave": true,
	"audio/wav": true, "audio/x-wav": true, "audio/x-pn-wav": true, "audio/flac": true, "audio/x-flac": true,
}

const octetStream = "application/octet-stream"

// SetHeaders sets everything about a download that keeps a browser from
// taking it for a page of this origin. fileName overrides the upload's own.
func SetHeaders(h http.Header, m store.Media, fileName string) {
	contentType := octetStream
	kind, params, err := mime.ParseMediaType(m.ContentType)
	if err == nil {
		if clean := mime.FormatMediaType(kind, params); clean != "" {
			contentType = clean
		}
	}
	disposition := "attachment"
	if err == nil && inlineTypes[kind] {
		disposition = "inline"
	}
	if fileName == "" {
		fileName = m.FileName
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", withFileName(disposition, fileName))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; "+
		"style-src 'unsafe-inline'; media-src 'self'; object-src 'self';")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	// Content never changes, but who may see it does.
	h.Set("Cache-Control", "private, max-age=86400, immutable")
	h.Set("ETag", `"`+hex.EncodeToString(m.SHA256)+`"`)
}

// withFileName adds a file name that cannot end the header or leave the
// directory that it is saved to.
func withFileName(disposition, name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if name == "" {
		return disposition
	}
	return mime.FormatMediaType(disposition, map[string]string{"filename": name})
}
