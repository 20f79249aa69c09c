// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// NewScheme returns a scheme with the kinds that the operator works with, and
// no others: the whole of client-go's costs memory.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, coordinationv1.AddToScheme,
		eventsv1.AddToScheme, certmanagerv1.AddToScheme, matrixv1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// CacheOptions keep the operator's memory small: of other kinds than its own
// only objects with its labels, without the records of other field managers,
// and of Secrets no content at all. namespaces limits what is watched; none
// means the whole cluster.
func CacheOptions(namespaces []string) cache.Options {
	ours := cache.ByObject{
		Label:     labels.SelectorFromSet(labels.Set{naming.LabelManagedBy: naming.ManagedBy}),
		Transform: slim,
	}
	options := cache.Options{
		// A read of a kind that is not watched is a mistake: it would start
		// to watch all of them.
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            slim,
		ByObject: map[client.Object]cache.ByObject{
			&appsv1.StatefulSet{}: ours, &corev1.Pod{}: ours, &corev1.Service{}: ours, &corev1.ServiceAccount{}: ours,
			&corev1.PersistentVolumeClaim{}: ours, &networkingv1.Ingress{}: ours, &networkingv1.NetworkPolicy{}: ours,
		},
	}
	if len(namespaces) > 0 {
		options.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			options.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	return options
}

// slim drops what the operator never reads: records of the fields that others
// manage, autoscalers' excepted, and, of Secrets, annotations, in which kubectl
// keeps a copy of the content.
func slim(obj any) (any, error) {
	object, err := meta.Accessor(obj)
	if err != nil {
		return obj, nil //nolint:nilerr // a tombstone: nothing to drop
	}
	var records []metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == naming.FieldOwner || entry.Subresource == "scale" {
			records = append(records, entry)
		}
	}
	object.SetManagedFields(records)
	if _, secret := obj.(*metav1.PartialObjectMetadata); secret {
		object.SetAnnotations(nil)
	}
	return obj, nil
}
