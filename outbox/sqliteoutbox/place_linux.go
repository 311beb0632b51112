package sqliteoutbox

import (
	"path/filepath"
	"syscall"
)

// volatile says what is wrong with a file's place, or nothing.
func volatile(path string) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &fs); err != nil {
		return ""
	}
	return places[uint32(fs.Type)]
}

// The magic numbers are those of statfs(2).
var places = map[uint32]string{
	0x794c7630: "a container's own layer (overlayfs), which a redeploy erases",
	0x01021994: "tmpfs, which is memory",
	0x858458f6: "ramfs, which is memory",
	0x6969:     "NFS, where SQLite's locks are not safe",
	0xff534d42: "a network share (CIFS), where SQLite's locks are not safe",
	0xfe534d42: "a network share (SMB), where SQLite's locks are not safe",
}
