// SPDX-License-Identifier: Apache-2.0

// Package naming holds every name that the operator gives to something in
// the cluster: objects, labels, ports, volumes, files and Secret keys.
//
// The name of a child is the base of its owner's name followed by a suffix
// that begins with the owner's kind. No suffix is the end of another one, so
// two owners can never want the same child: see Base for the first half of
// the argument and the tests for the second.
package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// FieldOwner is the field manager of everything that the operator applies.
const FieldOwner = "foyer"

// Labels on every object that the operator writes.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelPartOf    = "app.kubernetes.io/part-of"
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelData marks objects that hold data or generated credentials: they
	// are never pruned. Its value is DataRetain or DataDelete.
	LabelData = "matrix.foyer.im/data"
	// LabelScrape on a namespace, with the value "true", opens the metrics
	// ports of the operator's pods to that namespace.
	LabelScrape = "matrix.foyer.im/scrape"
)

// Values of LabelData: whether the object outlives its owner.
const (
	DataRetain = "retain"
	DataDelete = "delete"
)

// Annotations on what the operator writes.
const (
	// AnnotationConfigHash on a pod is the hash of everything that the
	// program reads only at start; another value rolls the pod.
	AnnotationConfigHash = "matrix.foyer.im/config-hash"
)

// PartOf and ManagedBy are the values of the labels of the same names.
const (
	PartOf    = "matrix"
	ManagedBy = "foyer"
)

// maxBase leaves room for the longest suffix of a Service (63 characters) and
// for the hash that the StatefulSet controller adds to its label values.
const maxBase = 40

var (
	plainName  = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	looksHash  = regexp.MustCompile(`-[0-9a-f]{8}$`)
	notInLabel = regexp.MustCompile(`[^a-z0-9]+`)
)

// Base returns what the names of an object's children begin with: the name
// itself where every kind of child accepts it, otherwise a shortened form
// with eight hexadecimal digits of its SHA-256. A name that already looks
// like such a form is hashed too, so that different names give different
// bases. The result is a DNS label that begins with a letter, of at most 40
// characters.
func Base(name string) string {
	if len(name) <= maxBase && plainName.MatchString(name) && !looksHash.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	stem := strings.Trim(notInLabel.ReplaceAllString(name, "-"), "-")
	if stem == "" || stem[0] < 'a' || stem[0] > 'z' {
		stem = "x" + stem
	}
	stem = stem[:min(len(stem), maxBase-9)]
	return strings.TrimRight(stem, "-") + "-" + hex.EncodeToString(sum[:4])
}
