// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"fmt"
	"testing"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/pki"
)

func TestObjectsAreCompleteAndNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, object := range append(All(&pki.AuthorityFiles{}), Issuers()...) {
		metadata, _ := object["metadata"].(Object)
		id := fmt.Sprint(object["apiVersion"], " ", object["kind"], " ", metadata["namespace"], " ", metadata["name"])
		if object["apiVersion"] == "" || object["kind"] == "" || metadata["name"] == "" {
			t.Errorf("incomplete: %s", id)
		}
		if seen[id] {
			t.Errorf("twice: %s", id)
		}
		seen[id] = true
	}
}

func TestThereIsOneDefaultStorageClass(t *testing.T) {
	defaults := 0
	for _, object := range storage() {
		annotations, _ := object["metadata"].(Object)["annotations"].(Object)
		if annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			defaults++
		}
	}
	if defaults != 1 {
		t.Errorf("%d default storage classes", defaults)
	}
}
