// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"
)

func TestEveryLineOfTheCatalogueHasATestOrComesLater(t *testing.T) {
	if err := run(io.Discard, "../.."); err != nil {
		t.Fatal(err)
	}
}
