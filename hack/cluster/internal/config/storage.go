// SPDX-License-Identifier: Apache-2.0

package config

import "github.com/foyer-matrix/foyer/hack/cluster/internal/layout"

const (
	// StorageNamespace is where the provisioner's helper pods run.
	StorageNamespace = "local-path-storage"
	// StorageConfigMap has the scripts that the helper pods run.
	StorageConfigMap = "local-path-config"
	// StorageServiceAccount is the helper pods'.
	StorageServiceAccount = "local-path-provisioner-service-account"
)

// SetupScript makes a volume as a cloud disk is made: root's. A pod that is not
// root writes to it by its fsGroup, which the kubelet applies to volumes of
// type local, as it does to real disks.
const SetupScript = "#!/bin/sh\nset -eu\nmkdir -m 0755 -p \"$VOL_DIR\"\n"

// TeardownScript deletes a volume.
const TeardownScript = "#!/bin/sh\nset -eu\nrm -rf \"$VOL_DIR\"\n"

// LocalPath puts volumes below the state folder.
func LocalPath(dirs layout.Dirs) Object {
	return Object{"nodePathMap": []Object{{
		"node":  "DEFAULT_PATH_FOR_NON_LISTED_NODES",
		"paths": []string{dirs.Volumes()},
	}}}
}

// HelperPod makes and deletes the folders of volumes.
func HelperPod() Object {
	return Object{
		"apiVersion": "v1",
		"kind":       "Pod",
		"metadata":   Object{"name": "helper-pod"},
		"spec": Object{
			"priorityClassName": "system-node-critical",
			"containers": []Object{{
				"name": "helper-pod", "image": BusyboxImage, "imagePullPolicy": "Never",
			}},
		},
	}
}
