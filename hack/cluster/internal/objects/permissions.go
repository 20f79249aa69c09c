// SPDX-License-Identifier: Apache-2.0

package objects

// grant is what one daemon may do.
type grant struct {
	name, user string
	// role is an existing ClusterRole; rules make one of the grant's name.
	role  string
	rules []Object
}

func read(group string, resources ...string) Object {
	return Object{"apiGroups": []string{group}, "resources": resources, "verbs": []string{"get", "list", "watch"}}
}

// grants are the permissions of the daemons that Kubernetes does not know.
var grants = []grant{
	{name: "foyer-cluster:dns", user: "foyer-cluster:dns", rules: []Object{
		read("", "services", "pods", "namespaces", "endpoints"),
		read("discovery.k8s.io", "endpointslices"),
	}},
	{name: "foyer-cluster:ingress", user: "foyer-cluster:ingress", rules: []Object{
		read("", "services", "endpoints", "secrets", "namespaces"),
		read("discovery.k8s.io", "endpointslices"),
		read("networking.k8s.io", "ingresses", "ingressclasses"),
	}},
	// These two write in every namespace; upstream's own lists are long and change.
	{name: "foyer-cluster:cert-manager", user: "foyer-cluster:cert-manager", role: "cluster-admin"},
	{name: "foyer-cluster:storage", user: "foyer-cluster:storage", role: "cluster-admin"},
}

func permissions() []Object {
	const rbac = "rbac.authorization.k8s.io"
	var all []Object
	for _, g := range grants {
		role := g.role
		if role == "" {
			role = g.name
			all = append(all, with(named(rbac+"/v1", "ClusterRole", "", g.name), Object{"rules": g.rules}))
		}
		all = append(all, with(named(rbac+"/v1", "ClusterRoleBinding", "", g.name), Object{
			"roleRef":  Object{"apiGroup": rbac, "kind": "ClusterRole", "name": role},
			"subjects": []Object{{"apiGroup": rbac, "kind": "User", "name": g.user}},
		}))
	}
	return all
}
