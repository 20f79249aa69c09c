// SPDX-License-Identifier: Apache-2.0

// Package jssdk has matrix-js-sdk, the library of Element Web and Cinny, use
// the homeserver. `make jssdk` installs it.
package jssdk_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/foyer-matrix/foyer/internal/homeserver/homeservertest"
)

// node is the Node.js that package.json names, whatever the machine has.
const node = "node_modules/.bin/node"

func TestClientsOfMatrixJSSDKChatEncryptedAndVerifyADevice(t *testing.T) {
	if _, err := os.Stat(node); err != nil {
		t.Fatalf("run `make jssdk` first: %v", err)
	}
	homeservertest.Each(t, homeservertest.Options{}, func(t *testing.T, s *homeservertest.Server) {
		out, err := exec.CommandContext(t.Context(), node, "scenario.mjs", s.URL).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			if step, ok := strings.CutPrefix(line, "ok: "); ok {
				t.Log(strings.TrimSpace(step))
			}
		}
	})
}
