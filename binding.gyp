{
  'targets': [
    {
      'target_name': 'xenctrl',
      'sources': [
        'native/async.cc',
        'native/binding.cc',
        'native/binding_evtchn.cc',
        'native/binding_grants.cc',
        'native/binding_privcmd.cc',
        'native/evtchn.cc',
        'native/external_buffer.cc',
        'native/grants.cc',
        'native/handle.cc',
        'native/kernel.cc',
        'native/mapping_table.cc',
        'native/memory.cc',
        'native/poller.cc',
        'native/privcmd.cc',
      ],
      'include_dirs': ['<!(node -p "require(\'node-addon-api\').include_dir")'],
      'defines': [
        'NAPI_VERSION=8',
        'NODE_ADDON_API_DISABLE_DEPRECATED',
        'NAPI_DISABLE_CPP_EXCEPTIONS',
      ],
      'cflags_cc': ['-std=c++17', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden', '-Wall', '-Wextra'],
    },
  ],
}
