// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// Indexes of Homeservers in the cache.
const (
	indexServerName = "spec.serverName"
	indexHost       = "spec.host"
	// indexBase is by what the names of its children begin with.
	indexBase = "children"
	// indexSecret is by the names of the Secrets that the spec refers to.
	indexSecret = "secrets"
)

// homeserverIndexes say under which values a Homeserver is found.
func homeserverIndexes() map[string]func(*matrixv1.Homeserver) []string {
	return map[string]func(*matrixv1.Homeserver) []string{
		indexServerName: func(hs *matrixv1.Homeserver) []string { return []string{hs.Spec.ServerName} },
		indexHost:       func(hs *matrixv1.Homeserver) []string { return []string{hs.Spec.Host} },
		indexBase:       func(hs *matrixv1.Homeserver) []string { return []string{naming.Base(hs.Name)} },
		indexSecret:     referencedSecrets,
	}
}

// indexHomeservers registers the indexes; the lists of the controller need them.
func indexHomeservers(ctx context.Context, indexer client.FieldIndexer) error {
	for field, values := range homeserverIndexes() {
		extract := func(obj client.Object) []string {
			hs, ok := obj.(*matrixv1.Homeserver)
			if !ok {
				return nil
			}
			return values(hs)
		}
		if err := indexer.IndexField(ctx, &matrixv1.Homeserver{}, field, extract); err != nil {
			return fmt.Errorf("index Homeservers by %s: %w", field, err)
		}
	}
	return nil
}

// referencedSecrets are the names of the user's Secrets in the spec.
func referencedSecrets(hs *matrixv1.Homeserver) []string {
	names := map[string]bool{}
	if tls := hs.Spec.TLS; tls != nil {
		names[tls.SecretName] = true
	}
	if wellKnown := hs.Spec.WellKnown; wellKnown != nil {
		names[wellKnown.SecretName] = true
	}
	if tokens := hs.Spec.Registration.TokenSecretRef; tokens != nil {
		names[tokens.Name] = true
	}
	for _, pull := range hs.Spec.ImagePullSecrets {
		names[pull.Name] = true
	}
	delete(names, "")
	return slices.Sorted(maps.Keys(names))
}

// references finds the Homeservers that a changed object concerns.
type references struct {
	cached client.Reader
}

// ofChild maps an object with our labels to the Homeserver that it is part of.
// Owner references would not do: volumes and credentials have none.
func (r references) ofChild(ctx context.Context, obj client.Object) []reconcile.Request {
	labels := obj.GetLabels()
	if labels[naming.LabelManagedBy] != naming.ManagedBy || labels[naming.LabelInstance] == "" {
		return nil
	}
	return r.find(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingFields{indexBase: labels[naming.LabelInstance]})
}

// ofSecret maps a Secret to its Homeserver, and to those whose spec names it.
func (r references) ofSecret(ctx context.Context, obj client.Object) []reconcile.Request {
	named := r.find(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingFields{indexSecret: obj.GetName()})
	return append(named, r.ofChild(ctx, obj)...)
}

// rivals maps a Homeserver to all that want its server name or host: when it
// goes, one of them may proceed.
func (r references) rivals(ctx context.Context, obj client.Object) []reconcile.Request {
	hs, ok := obj.(*matrixv1.Homeserver)
	if !ok {
		return nil
	}
	requests := r.find(ctx, client.MatchingFields{indexServerName: hs.Spec.ServerName})
	return append(requests, r.find(ctx, client.MatchingFields{indexHost: hs.Spec.Host})...)
}

func (r references) find(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	var list matrixv1.HomeserverList
	if err := r.cached.List(ctx, &list, options...); err != nil {
		log.FromContext(ctx).Error(err, "cannot tell which Homeservers a change concerns")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
