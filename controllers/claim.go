// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// claim is one Homeserver's title to a server name or host.
type claim struct {
	homeserver *matrixv1.Homeserver
	// running: its StatefulSet exists.
	running bool
}

// before tells whether c came before other: the older one wins. Creation times
// are whole seconds; within one second the one that already runs wins, then
// the first in the order of namespace and name.
func (c claim) before(other claim) bool {
	mine, theirs := c.homeserver, other.homeserver
	if !mine.CreationTimestamp.Equal(&theirs.CreationTimestamp) {
		return mine.CreationTimestamp.Before(&theirs.CreationTimestamp)
	}
	if c.running != other.running {
		return c.running
	}
	if mine.Namespace != theirs.Namespace {
		return mine.Namespace < theirs.Namespace
	}
	return mine.Name < theirs.Name
}

// blockedBy returns the first of others that came before mine; nil when none did.
func blockedBy(mine claim, others []claim) *matrixv1.Homeserver {
	for _, other := range others {
		if other.before(mine) {
			return other.homeserver
		}
	}
	return nil
}

// claimant finds the Homeservers that want what another wants.
type claimant struct {
	cached client.Reader
	live   client.Reader
}

// conflict returns the Homeserver that holds value, of index, before hs; nil
// when hs may have it.
func (c claimant) conflict(ctx context.Context, hs *matrixv1.Homeserver, index, value string) (*matrixv1.Homeserver, error) {
	var list matrixv1.HomeserverList
	if err := c.cached.List(ctx, &list, client.MatchingFields{index: value}); err != nil {
		return nil, fmt.Errorf("list Homeservers: %w", err)
	}
	mine := claim{homeserver: hs}
	var others []claim
	for i := range list.Items {
		other := claim{homeserver: &list.Items[i]}
		if other.homeserver.UID == hs.UID {
			continue
		}
		if hs.CreationTimestamp.Equal(&other.homeserver.CreationTimestamp) {
			if err := c.observe(ctx, &mine, &other); err != nil {
				return nil, err
			}
		}
		others = append(others, other)
	}
	return blockedBy(mine, others), nil
}

// observe looks, past the cache, which of the claims has a StatefulSet.
func (c claimant) observe(ctx context.Context, claims ...*claim) error {
	for _, one := range claims {
		name := naming.ForHomeserver(one.homeserver).StatefulSet()
		err := c.live.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: name.Name}, &appsv1.StatefulSet{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("get StatefulSet %s: %w", name.Name, err)
		}
		one.running = err == nil
	}
	return nil
}
