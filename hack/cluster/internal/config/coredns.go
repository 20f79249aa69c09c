// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"github.com/foyer-matrix/foyer/hack/cluster/internal/layout"
)

// IngressDomains are answered with the ingress's address inside the cluster:
// the domain of this cluster, and those that are reserved for examples and
// tests, which the samples use.
var IngressDomains = []string{layout.IngressDomain, "example.com", "example.net", "example.org", "test"}

// block is one server of CoreDNS.
type block struct {
	zones   []string
	plugins []string
}

// Corefile serves the cluster's names and the ingress's, and says NXDOMAIN to
// everything else: nothing in the cluster asks the outside.
func Corefile(dirs layout.Dirs) string {
	common := []string{"bind " + layout.NodeAddress.String(), "errors"}
	blocks := []block{
		{
			zones: []string{layout.ClusterDomain, "in-addr.arpa", "ip6.arpa"},
			plugins: append([]string{
				"health " + layout.NodePort(layout.DNSHealthPort),
				"ready " + layout.NodePort(layout.DNSReadyPort),
				fmt.Sprintf("kubernetes %s in-addr.arpa ip6.arpa {\n\t\tkubeconfig %s\n\t\tpods verified\n\t\tttl 2\n\t}",
					layout.ClusterDomain, dirs.Config("coredns.kubeconfig")),
			}, common...),
		},
		{
			zones: IngressDomains,
			plugins: append([]string{
				fmt.Sprintf("template IN A {\n\t\tanswer \"{{ .Name }} 60 IN A %s\"\n\t}", layout.NodeAddress),
				"template ANY ANY {\n\t\trcode NOERROR\n\t}",
			}, common...),
		},
		{
			zones:   []string{"."},
			plugins: append([]string{"template ANY ANY {\n\t\trcode NXDOMAIN\n\t}"}, common...),
		},
	}
	var out strings.Builder
	for _, b := range blocks {
		for i, zone := range b.zones {
			if i > 0 {
				out.WriteString(" ")
			}
			_, _ = fmt.Fprintf(&out, "%s:%d", zone, layout.DNSPort)
		}
		_, _ = fmt.Fprintf(&out, " {\n\t%s\n}\n", strings.Join(b.plugins, "\n\t"))
	}
	return out.String()
}
