//! Pages for students, teachers and operators. They are also files, in `src/guide`.

// A link in these pages is defined twice: at the end of the file for those who read the file, and
// here for the documentation. The first definition counts.

pub mod lab {
    //! [map]: super::map
    //! [udp]: crate::udp
    //! [tcp]: crate::tcp
    //! [pipe]: crate::tcp::Client::pipe
    //! [ask]: crate::tcp::Client::ask
    //! [tcp_serve]: crate::tcp::serve
    //! [udp_serve]: crate::udp::serve
    #![doc = include_str!("guide/lab.md")]
}

pub mod map {
    //! [lab]: super::lab
    //! [udp]: crate::udp
    //! [tcp]: crate::tcp
    #![doc = include_str!("guide/map.md")]
}

pub mod operations {
    //! [lab]: super::lab
    //! [udp]: crate::udp#limits
    //! [tcp]: crate::tcp#limits
    #![doc = include_str!("guide/operations.md")]
}
