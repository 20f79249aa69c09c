// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// insist makes a request again and again until it is answered, as a client
// does that does not know whether an earlier one arrived. It returns how many
// attempts had no answer, or one that says that the server failed.
func insist(t testing.TB, server, token, method, path string, body, into any) (failed int, err error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ; ; failed++ {
		req, err := http.NewRequestWithContext(ctx, method, server+"/_matrix/client/v3"+path, bytes.NewReader(encoded))
		if err != nil {
			return failed, err
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		err = attempt(req, into)
		var refused *refusal
		if err == nil || errors.As(err, &refused) && refused.status < http.StatusInternalServerError {
			return failed, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return failed, fmt.Errorf("%s %s: %w", method, path, errors.Join(ctx.Err(), err))
		}
	}
}

type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.status, r.body) }

func attempt(req *http.Request, into any) error {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return &refusal{res.StatusCode, string(answer)}
	}
	return json.Unmarshal(answer, into)
}
