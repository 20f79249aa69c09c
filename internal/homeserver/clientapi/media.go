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
		{Method: "POST", Path: "/_matrix/media/v1/create", Auth: httpapi.User, Limit: httpapi.LimitMedia, Handler: httpapi.JSON(a.announceUpload)},
		{Method: "PUT", Path: "/_matrix/media/v3/upload/{serverName}/{mediaId}", Auth: httpapi.User, Limit: httpapi.LimitMedia, MaxBody: a.config.Media.MaxUploadBytes, Timeout: -1, Handler: a.uploadTo},
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
	var uri string
	err := receive(w, r, func(u media.Upload) (err error) {
		uri, err = a.media.Upload(r.Context(), u)
		return err
	})
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, &uploadResponse{uri})
}

// uploadTo stores a file under an id that was given out before.
//
// PUT /_matrix/media/v3/upload/{serverName}/{mediaId}
// https://spec.matrix.org/v1.19/client-server-api/#put_matrixmediav3uploadservernamemediaid
func (a *API) uploadTo(w http.ResponseWriter, r *httpapi.Request) error {
	err := receive(w, r, func(u media.Upload) error {
		return a.media.UploadTo(r.Context(), event.ServerName(r.Param("serverName")), r.Param("mediaId"), u)
	})
	if err != nil {
		return err
	}
	return httpapi.WriteJSON(w, http.StatusOK, httpapi.Empty{})
}

// receive hands the file in a request to store.
func receive(w http.ResponseWriter, r *httpapi.Request, store func(media.Upload) error) error {
	limit := r.Route.MaxBody
	tooLarge := matrixerr.TooLarge("an upload may have at most " + strconv.FormatInt(limit, 10) + " bytes")
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // or net/http would wait for the body
		return tooLarge
	}
	body := &progress{Reader: http.MaxBytesReader(w, r.Body, limit), control: http.NewResponseController(w)}
	err := store(media.Upload{
		User: r.Caller.UserID, Content: body, Size: r.ContentLength,
		ContentType: r.Header.Get("Content-Type"), FileName: r.URL.Query().Get("filename"),
	})
	if err == nil {
		_ = body.control.SetReadDeadline(time.Time{}) // it would end the request, not just the body
	} else {
		w.Header().Set("Connection", "close") // the rest of the body is not wanted
	}
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return tooLarge
	case err != nil && body.failed:
		return matrixerr.BadRequest(matrixerr.CodeUnknown, "the upload broke off")
	}
	return err
}

type announceUploadResponse struct {
	ContentURI string `json:"content_uri"`
	// UnusedExpiresAt is in milliseconds since 1970.
	UnusedExpiresAt int64 `json:"unused_expires_at"`
}

// announceUpload gives out the URI of a file that is still to be uploaded.
//
// POST /_matrix/media/v1/create
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav1create
func (a *API) announceUpload(ctx context.Context, caller httpapi.Caller, _ *httpapi.Empty) (*announceUploadResponse, error) {
	uri, expires, err := a.media.Announce(ctx, caller.UserID)
	if err != nil {
		return nil, err
	}
	return &announceUploadResponse{uri, expires.UnixMilli()}, nil
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
	wanted, err := wantedMedia(r)
	if err != nil {
		return err
	}
	m, f, err := a.media.Open(r.Context(), wanted)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := r.StillAllowed(r.Context()); err != nil { // it may have waited
		return err
	}
	media.SetHeaders(w.Header(), m, r.Param("fileName"))
	http.ServeContent(&slowWriter{w, http.NewResponseController(w)}, r.Request, "", time.Time{}, f)
	return nil
}

// defaultWait is how long a download waits for an upload where the client does not say.
const defaultWait = 20 * time.Second

// wantedMedia reads which file a request asks for and how long it waits for it.
func wantedMedia(r *httpapi.Request) (media.Wanted, error) {
	w := media.Wanted{Server: event.ServerName(r.Param("serverName")), ID: r.Param("mediaId"), Wait: defaultWait}
	text := r.URL.Query().Get("timeout_ms")
	if text == "" {
		return w, nil
	}
	ms, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return w, matrixerr.InvalidParam("timeout_ms is a number of milliseconds")
	}
	w.Wait = time.Duration(min(ms, uint64(media.MaxWait.Milliseconds()))) * time.Millisecond
	return w, nil
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
	wanted, err := wantedMedia(r)
	if err != nil {
		return err
	}
	m, f, err := a.media.Thumbnail(r.Context(), media.ThumbnailRequest{
		Wanted: wanted, Width: width, Height: height, Crop: method == "crop",
	})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := r.StillAllowed(r.Context()); err != nil { // it may have waited
		return err
	}
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
