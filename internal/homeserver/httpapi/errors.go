// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
)

// statusClientGone is logged for requests whose client did not wait.
const statusClientGone = 499

// toClient turns any error into what the client sees. logged tells whether
// the original has to be logged because the client does not see it.
//
// A full disk is 507: the errcode of the specification for a server that
// reached its limits, with a status that makes clients keep the message and
// try again rather than drop it as a 4xx would.
func toClient(err error) (shown *matrixerr.Error, logged bool) {
	switch {
	case errors.As(err, &shown):
		return shown, false
	case errors.Is(err, store.ErrFull):
		return matrixerr.New(http.StatusInsufficientStorage, matrixerr.CodeResourceLimitExceeded,
			"the server's storage is full"), true
	case errors.Is(err, store.ErrUnavailable):
		return matrixerr.Unavailable("the server's database cannot be reached"), true
	case errors.Is(err, store.ErrClosed):
		return matrixerr.Unavailable("the server is shutting down"), false
	case errors.Is(err, context.DeadlineExceeded):
		return matrixerr.New(http.StatusGatewayTimeout, matrixerr.CodeUnknown, "the request took too long"), true
	default:
		return matrixerr.New(http.StatusInternalServerError, matrixerr.CodeUnknown, "internal server error"), true
	}
}

// clientGone reports whether the request failed because nobody waits for it.
func clientGone(r *http.Request, err error) bool {
	return errors.Is(err, ErrClientGone) || (r.Context().Err() != nil && errors.Is(err, context.Canceled))
}
