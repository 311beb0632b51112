package sqliteoutbox

import (
	"path/filepath"
	"syscall"
)

// volatile returns what is wrong with a file's place, or "".
func volatile(path string) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &fs); err != nil {
		return ""
	}
	return places[uint32(fs.Type)]
}

const unsafeLocks = ", where SQLite's locks are not safe"

// places are the unsafe file systems, by the magic numbers of statfs(2) and of the
// kernel's magic.h.
var places = map[uint32]string{
	0x794c7630: "a container's own layer (overlayfs), which a redeploy erases",
	0x61756673: "a container's own layer (aufs), which a redeploy erases",
	0x01021994: "tmpfs, which is memory",
	0x858458f6: "ramfs, which is memory",
	0x6969:     "NFS" + unsafeLocks,
	0xff534d42: "a network share (CIFS)" + unsafeLocks,
	0xfe534d42: "a network share (SMB)" + unsafeLocks,
	0x517b:     "a network share (SMB)" + unsafeLocks,
	0x65735546: "FUSE or virtiofs" + unsafeLocks, // virtiofs has FUSE's number
	0x01021997: "9p" + unsafeLocks,
	0x786f4256: "a shared folder of VirtualBox" + unsafeLocks,
	0x00c36400: "CephFS" + unsafeLocks,
	0x5346414f: "AFS" + unsafeLocks,
	0x0bd00bd0: "Lustre" + unsafeLocks,
	0x47504653: "GPFS" + unsafeLocks,
	0x01161970: "GFS2" + unsafeLocks,
	0x7461636f: "OCFS2" + unsafeLocks,
}
