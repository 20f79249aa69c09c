// SPDX-License-Identifier: Apache-2.0

// Package programs builds the cluster's programs from Go modules, once for each
// state of their source.
package programs

import "path/filepath"

// Program is one binary and how it is built. The version is the one in the
// go.mod file of its folder below programs/: that is the place to change it.
type Program struct {
	// Name is the binary's file name.
	Name string
	// Folder is below programs/ and has a go.mod file, or belongs to this module.
	Folder string
	// Package is what is built: "." for a main of ours, else the path of an upstream one.
	Package string
	// Module names the version that Package comes from.
	Module string
	// Links are more names the binary is called by.
	Links []string
	// VersionVariables are linker variables, set to the module's version.
	VersionVariables []VersionVariable
	// Files are copied from the module beside the binary.
	Files string
}

// VersionVariable is a string variable of a program that says its version.
type VersionVariable struct {
	Name string
	// Part selects "version", "major" or "minor".
	Part string
}

// Kubernetes is every Kubernetes program, kubectl and etcd.
var Kubernetes = Program{
	Name: "kubernetes", Folder: "kubernetes", Package: ".", Module: "k8s.io/kubernetes",
	Links: []string{
		"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl", "etcd",
	},
	// Without them the server reports a version that kubectl cannot parse.
	VersionVariables: []VersionVariable{
		{"k8s.io/component-base/version.gitVersion", "version"},
		{"k8s.io/component-base/version.gitMajor", "major"},
		{"k8s.io/component-base/version.gitMinor", "minor"},
	},
}

// AssetLinks are the links to Kubernetes that envtest looks for.
var AssetLinks = []string{"kube-apiserver", "etcd", "kubectl"}

// All is every program, the slowest first.
var All = []Program{
	Kubernetes,
	{Name: "coredns", Folder: "coredns", Package: ".", Module: "github.com/coredns/coredns"},
	{
		Name: "skipper", Folder: "ingress", Module: "github.com/zalando/skipper",
		Package: "github.com/zalando/skipper/cmd/skipper",
	},
	{
		Name: "certmanager", Folder: "certmanager", Package: ".", Module: "github.com/cert-manager/cert-manager",
		Files: filepath.Join("deploy", "crds"),
	},
	{
		Name: "local-path-provisioner", Folder: "localpath", Module: "github.com/rancher/local-path-provisioner",
		Package: "github.com/rancher/local-path-provisioner",
	},
	{
		Name: "helm", Folder: "helm", Module: "helm.sh/helm/v3", Package: "helm.sh/helm/v3/cmd/helm",
		VersionVariables: []VersionVariable{{"helm.sh/helm/v3/internal/version.version", "version"}},
	},
	{Name: "pause", Folder: "pause", Package: "."},
}
