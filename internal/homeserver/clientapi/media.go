// SPDX-License-Identifier: Apache-2.0

package clientapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/media"
)

// Downloads without authentication do not exist here: every file is new, and
// new files need a token since version 1.11 of the specification.
func (a *API) mediaRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Method: "POST", Path: "/_matrix/media/v3/upload", Auth: httpapi.User, Limit: httpapi.LimitMedia, MaxBody: a.config.Media.MaxUploadBytes, Timeout: -1, Handler: a.upload},
		{Method: "GET", Path: "/_matrix/media/v3/config", Auth: httpapi.User, Handler: httpapi.JSON(a.mediaConfig)},
		{Method: "GET", Path: "/_matrix/media/v3/download/{serverName}/{mediaId}", Auth: httpapi.Public, Handler: noFrozenMedia},
		{Method: "GET", Path: "/_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}", Auth: httpapi.Public, Handler: noFrozenMedia},
		{Method: "GET", Path: "/_matrix/client/v1/media/config", Auth: httpapi.User, Handler: httpapi.JSON(a.mediaConfig)},
		{Method: "GET", Path: "/_matrix/media/v3/thumbnail/{serverName}/{mediaId}", Auth: httpapi.Public, Handler: noFrozenMedia},
		{Method: "GET", Path: "/_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}", Auth: httpapi.User, Handler: a.thumbnail},
		{Method: "GET", Path: "/_matrix/client/v1/media/download/{serverName}/{mediaId}", Auth: httpapi.User, Timeout: -1, Handler: a.download},
		{Method: "GET", Path: "/_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}", Auth: httpapi.User, Timeout: -1, Handler: a.download},
	}
}

// idleTransfer is how long an upload or a download may stand still.
const idleTransfer = time.Minute

type uploadResponse struct {
	ContentURI string `json:"content_uri"`
}

// upload stores a file.
//
// POST /_matrix/media/v3/upload
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload
func (a *API) upload(w http.ResponseWriter, r *httpapi.Request) error {
	limit := r.Route.MaxBody
	tooLarge := matrixerr.TooLarge("an upload may have at most " + strconv.FormatInt(limit, 10) + " bytes")
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // or net/http would wait for the body
		return tooLarge
	}
	body := &progress{Reader: http.MaxBytesReader(w, r.Body, limit), control: http.NewResponseController(w)}
	uri, err := a.media.Upload(r.Context(), media.Upload{
		User: r.Caller.UserID, Content: body,
		ContentType: r.Header.Get("Content-Type"), FileName: r.URL.Query().Get("filename"),
	})
	_ = body.control.SetReadDeadline(time.Time{}) // it would end the request, not just the body
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return tooLarge
	case err != nil && body.failed:
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "the upload broke off")
	case err != nil:
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, &uploadResponse{uri})
}

// progress gives a client that keeps sending all the time it needs.
type progress struct {
	io.Reader
	control *http.ResponseController
	failed  bool
}

func (p *progress) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(idleTransfer)) // a test's writer may have none
	n, err := p.Reader.Read(b)
	p.failed = err != nil && !errors.Is(err, io.EOF)
	return n, err
}

type mediaConfigResponse struct {
	UploadSize int64 `json:"m.upload.size"`
}

// mediaConfig tells clients how large an upload may be.
//
// GET /_matrix/client/v1/media/config
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediaconfig
func (a *API) mediaConfig(context.Context, httpapi.Caller, *httpapi.Empty) (*mediaConfigResponse, error) {
	return &mediaConfigResponse{a.config.Media.MaxUploadBytes}, nil
}

// download returns an uploaded file, in parts if so asked.
//
// GET /_matrix/client/v1/media/download/{serverName}/{mediaId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
func (a *API) download(w http.ResponseWriter, r *httpapi.Request) error {
	m, f, err := a.media.Open(r.Context(), event.ServerName(r.Param("serverName")), r.Param("mediaId"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	media.SetHeaders(w.Header(), m, r.Param("fileName"))
	http.ServeContent(&slowWriter{w, http.NewResponseController(w)}, r.Request, "", time.Time{}, f)
	return nil
}

// thumbnail returns a small version of an uploaded image.
//
// GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid
func (a *API) thumbnail(w http.ResponseWriter, r *httpapi.Request) error {
	query := r.URL.Query()
	width, err := media.ParseSize(query.Get("width"))
	if err != nil {
		return err
	}
	height, err := media.ParseSize(query.Get("height"))
	if err != nil {
		return err
	}
	method := query.Get("method")
	if method != "" && method != "crop" && method != "scale" {
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "method is crop or scale")
	}
	m, f, err := a.media.Thumbnail(r.Context(), media.ThumbnailRequest{
		Server: event.ServerName(r.Param("serverName")), ID: r.Param("mediaId"),
		Width: width, Height: height, Crop: method == "crop",
	})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	media.SetHeaders(w.Header(), m, "")
	w.Header().Del("ETag") // it names the original
	http.ServeContent(w, r.Request, "", time.Time{}, f)
	return nil
}

// slowWriter gives a client that keeps reading all the time it needs.
type slowWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *slowWriter) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(idleTransfer)) // a test's writer may have none
	return w.ResponseWriter.Write(b)
}

// noFrozenMedia answers downloads without authentication.
//
// GET /_matrix/media/v3/download/{serverName}/{mediaId}
// https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaid
func noFrozenMedia(http.ResponseWriter, *httpapi.Request) error {
	return matrixerr.NotFound("media is downloaded with an access token")
}
