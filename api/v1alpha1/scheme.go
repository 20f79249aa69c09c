// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and Version name this API; both are part of every manifest.
const (
	Group   = "matrix.foyer.im"
	Version = "v1alpha1"
)

// GroupVersion is the group and version that every kind here belongs to.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// AddToScheme registers every kind of this package in scheme. It never fails.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &Homeserver{}, &HomeserverList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
