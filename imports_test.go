// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/foyer-matrix/foyer/"

// importRule says what the packages below a path must not import. Paths are
// relative to the module; a pattern that ends in "..." covers what is below.
type importRule struct {
	packages  string
	forbidden []string
	why       string
}

var importRules = []importRule{
	{"api/...", []string{module, "sigs.k8s.io/controller-runtime"}, "users of the API must be able to import it alone"},
	{"internal/homeserver/...", []string{
		"k8s.io/", "sigs.k8s.io/controller-runtime", module + "api", module + "controllers", module + "internal/manifest",
	}, "the homeserver knows nothing of Kubernetes"},
	{"internal/homeserver/event", []string{module}, "the event core is pure and imports nothing of ours"},
	{"internal/homeserver/event", []string{"os", "net", "net/http", "time", "math/rand", "database/sql", "log", "log/slog"}, "the event core has no I/O and no clock"},
	{"internal/homeserver/clientapi", []string{"database/sql", module + "internal/homeserver/store/"}, "endpoints never touch SQL"},
	{"internal/homeserver/adminapi", []string{"database/sql", module + "internal/homeserver/store/"}, "endpoints never touch SQL"},
	{"internal/homeserver/accounts", []string{module + "internal/homeserver/stream", module + "internal/homeserver/push", module + "internal/homeserver/clientapi"}, "domain packages call downwards"},
	{"internal/homeserver/e2ee", []string{module + "internal/homeserver/stream", module + "internal/homeserver/push", module + "internal/homeserver/clientapi"}, "domain packages call downwards"},
	{"internal/homeserver/rooms", []string{module + "internal/homeserver/stream", module + "internal/homeserver/push", module + "internal/homeserver/clientapi", module + "internal/homeserver/e2ee"}, "domain packages call downwards"},
	{"internal/homeserver/push", []string{module + "internal/homeserver/stream", module + "internal/homeserver/clientapi"}, "domain packages call downwards"},
	{"internal/homeserver/stream", []string{module + "internal/homeserver/clientapi"}, "domain packages call downwards"},
	{"internal/homeserver/store", []string{
		module + "internal/homeserver/rooms", module + "internal/homeserver/accounts", module + "internal/homeserver/e2ee",
		module + "internal/homeserver/stream", module + "internal/homeserver/media", module + "internal/homeserver/clientapi",
	}, "the store is below the domain"},
	{"internal/manifest/...", []string{"os", "net/http", "math/rand", "crypto/rand", "sigs.k8s.io/controller-runtime/pkg/manager", module + "controllers"}, "builders are pure"},
	{"internal/naming", []string{module + "controllers", module + "internal/manifest"}, "names are below what uses them"},
}

// alsoAllowed are imports below a forbidden path that a rule leaves open.
var alsoAllowed = map[string][]string{
	"api/...": {module + "api", "sigs.k8s.io/controller-runtime/pkg/scheme"},
}

func TestImportRules(t *testing.T) {
	for _, rule := range importRules {
		for pkg, imports := range productionImports(t, rule.packages) {
			for _, imported := range imports {
				if forbids(rule, imported) {
					t.Errorf("%s imports %s: %s", pkg, imported, rule.why)
				}
			}
		}
	}
}

func forbids(rule importRule, imported string) bool {
	for _, allowed := range alsoAllowed[rule.packages] {
		if strings.HasPrefix(imported, allowed) {
			return false
		}
	}
	for _, path := range rule.forbidden {
		// A package of ours or of others stands for what is below it; one of the
		// standard library for itself: net/netip is pure, net is not.
		below := strings.Contains(path, ".") && strings.HasPrefix(imported, strings.TrimSuffix(path, "/")+"/")
		if imported == path || below {
			return true
		}
	}
	return false
}

// productionImports returns the direct imports of each package's files that are no tests.
func productionImports(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./"+pattern).Output()
	if err != nil {
		t.Fatalf("list packages of %s: %v", pattern, err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if strings.HasSuffix(fields[0], "test") {
			continue // helpers of tests: storetest, homeservertest
		}
		imports[fields[0]] = fields[1:]
	}
	return imports
}
